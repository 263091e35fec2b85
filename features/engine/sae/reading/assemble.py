"""How do a recipe and its tensors become an SAE? Turned, upcast and folded into one affine map."""

import math

import torch

from features.engine.sae.reading.errors import CheckpointError
from features.engine.sae.sae import SAEConfig, SparseAutoencoder

ROWS = 512  # rows of a matrix held in float64 at a time


def assemble(checkpoint, recipe, config: SAEConfig) -> SparseAutoencoder:
    """The SAE a recipe describes. Vectors are folded in float64; matrices are float32 and ours."""
    W_enc = _matrix(checkpoint, recipe.encoder)  # [d_in, d_sae]
    W_dec = _matrix(checkpoint, recipe.decoder)  # [d_sae, d_in]

    def vector(name, width):
        return torch.zeros(width, dtype=torch.float64) if name is None else _vector(checkpoint, name)

    b_dec = vector(recipe.decoder_bias, config.d_in) * recipe.bias_scale
    pre = vector(recipe.pre_bias, config.d_in) * recipe.bias_scale
    threshold = _threshold(checkpoint, recipe, config.d_sae)
    if recipe.gate:
        b_enc, threshold = _gated(checkpoint, recipe, W_enc)
    else:
        b_enc = vector(recipe.encoder_bias, config.d_sae) * recipe.bias_scale
    # (x - pre) W_enc + b_enc = x W_enc + (b_enc - pre W_enc): one affine map without a subtraction.
    if recipe.pre_bias:
        b_enc -= _product(pre, W_enc)
    # s f W_dec = f (s W_dec): row i of W_dec takes feature i's scale.
    if recipe.feature_scale:
        W_dec *= _vector(checkpoint, recipe.feature_scale)[:, None].float()
    # The file's SAE reads s h and reconstructs s h'. b_enc is added to p, which stays as it is; the pre-bias in it
    # was in the unit of s h, so it was folded in with W_enc as stored.
    if recipe.input_scale != 1.0:
        W_enc *= recipe.input_scale
        W_dec /= recipe.input_scale
        b_dec /= recipe.input_scale
        if recipe.rescale_by_decoder_norm and isinstance(recipe.threshold, str):
            threshold /= recipe.input_scale  # as p * |W_dec[i]|, which it is held against
    # act sees p_i |W_dec[i]|: column i of W_enc takes the length over, row i of W_dec gives it up.
    if recipe.rescale_by_decoder_norm:
        norms = torch.cat([rows.double().norm(dim=1) for rows in W_dec.split(ROWS)])  # [d_sae]
        W_enc *= norms.float()
        b_enc *= norms
        W_dec /= norms.clamp_min(1e-30)[:, None].float()  # a row of zeros stays one, and its feature dead
    return SparseAutoencoder(config, W_enc, W_dec, b_enc, b_dec, threshold)


def _gated(checkpoint, recipe, W_enc):
    """A gated SAE as a JumpReLU one: (b_enc, threshold), W_enc scaled in place.

    With s = exp(log_scale), q = s p + magnitude_bias: the gate p + gate_bias > 0 opens where
    q > magnitude_bias - s gate_bias, so f = max(q, 0) there (arXiv:2404.16014, section 3.2.1).
    Same as reference.gated: float32 rounding of W_enc.
    """
    gate_bias = _vector(checkpoint, recipe.gate.gate_bias) * recipe.bias_scale
    magnitude_bias = _vector(checkpoint, recipe.gate.magnitude_bias) * recipe.bias_scale
    scale = _finite(checkpoint, recipe.gate.log_scale, _vector(checkpoint, recipe.gate.log_scale).exp())
    # One scale for each column of W_enc, [d_in, d_sae] * [d_sae].
    W_enc *= scale.float()
    return magnitude_bias.clone(), magnitude_bias - scale * gate_bias


def _threshold(checkpoint, recipe, d_sae):
    if recipe.threshold is None or recipe.activation != "jumprelu":
        return None
    if not isinstance(recipe.threshold, str):
        # Said of the activations as they are shown: no scale of the file is in it.
        return torch.full((d_sae,), float(recipe.threshold), dtype=torch.float64)
    values = _vector(checkpoint, recipe.threshold)
    values = values.exp() if recipe.threshold_is_log else values
    return (values * recipe.bias_scale).expand(d_sae).clone()  # one for all, or one each


def _matrix(checkpoint, matrix):
    tensor = checkpoint.tensor(matrix.name)
    tensor = tensor.T if matrix.transposed else tensor
    # A copy in any case: a memory-mapped tensor would change with its file.
    tensor = tensor.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return _finite(checkpoint, matrix.name, tensor)


def _vector(checkpoint, name):
    # Biases stored as [1, d] and thresholds without a dimension become [d] and [1].
    tensor = checkpoint.tensor(name).to(torch.float64, copy=True).reshape(-1)
    return _finite(checkpoint, name, tensor)


def _finite(checkpoint, name, tensor):
    # One NaN or infinity makes the sum one, and no mask as large as the matrix is needed. A sum of finite numbers
    # that overflows is counted below and found to be whole.
    if math.isfinite(tensor.sum().item()):
        return tensor
    nan, inf = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    if nan or inf:
        raise CheckpointError(
            f"{checkpoint.weights}: {name} has {nan:,} NaN and {inf:,} infinite of {tensor.numel():,} "
            "values. Its training went wrong or the file is damaged; take another checkpoint."
        )
    return tensor


def _product(vector, matrix):
    """vector @ matrix in float64, a few rows at a time: a float64 copy of a large encoder may not fit."""
    total = torch.zeros(matrix.shape[1], dtype=torch.float64)
    for start in range(0, matrix.shape[0], ROWS):
        total += vector[start : start + ROWS] @ matrix[start : start + ROWS].double()
    return total
