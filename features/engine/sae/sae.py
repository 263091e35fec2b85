"""What does a sparse autoencoder make of an activation? One config, weights in one orientation, one formula.

However an SAE was stored, `checkpoint.read_sae` hands over this class; nothing else in the engine knows layouts.
"""

from dataclasses import dataclass, field

import torch

ELEMENTWISE = ("relu", "jumprelu", "tanh_relu", "identity")
CHOOSING = ("topk", "signed_topk", "abstopk", "groupmax")  # look at all features of a token at once
ACTIVATIONS = ELEMENTWISE + CHOOSING
TOKEN_NORMS = ("none", "layer_norm", "constant_norm_rescale")  # that SAEs are trained with
INPUT_NORMS = (*TOKEN_NORMS, "center")
LAYER_NORM_EPS = 1e-5  # added to the standard deviation, not to the variance


@dataclass(frozen=True)
class SAEConfig:
    """What is known of an SAE besides its weights. None stands for what neither files nor answers say."""

    d_in: int
    d_sae: int
    activation: str = "relu"  # one of ACTIVATIONS; gated and batch-top-k SAEs arrive as "jumprelu"
    k: int | None = None  # features kept per token; only where the activation chooses
    input_norm: str = "none"  # one of INPUT_NORMS, taken per token, undone on the reconstruction
    rescale_by_decoder_norm: bool = False  # the file's rule; already folded into the weights
    format: str = "unknown"  # layout it was read from, e.g. "saelens"
    model_name: str | None = None
    hook_point: str | None = None  # where the activations are read, e.g. "blocks.0.mlp.hook_post"
    hook_head_index: int | None = None  # reads this attention head only
    prepend_bos: bool | None = None  # were training sequences given a BOS token
    context_size: int | None = None  # tokens per training sequence
    dtype: str = "float32"  # as stored; computed in float32 whatever it says
    provenance: dict = field(default_factory=dict)  # plain values: files, architecture, what was folded

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"Activation {self.activation!r} is none of {', '.join(ACTIVATIONS)}.")
        if self.input_norm not in INPUT_NORMS:
            raise ValueError(f"Input norm {self.input_norm!r} is none of {', '.join(INPUT_NORMS)}.")
        if self.activation in CHOOSING and not (self.k and 0 < self.k <= self.d_sae):
            raise ValueError(f"{self.activation} keeps 1 to {self.d_sae:,} features per token, not {self.k}.")
        if self.activation == "groupmax" and self.d_sae % self.k:
            raise ValueError(
                f"groupmax needs a k that divides its {self.d_sae:,} features into equal groups, not {self.k:,}."
            )


class SparseAutoencoder:
    """A dictionary of features over activations h of width d_in.

        x, undo = norm(h)                    none: x = h
        p = x @ W_enc + b_enc                [*, d_sae], the pre-bias and every scale folded in
        f = act(p)                           relu       max(p, 0)
                                             jumprelu   max(p, 0) where p > threshold, else 0
                                             topk       max(p, 0) on the k largest p of the token, else 0
        h' = undo(f @ W_dec + b_dec)         [*, d_in]

    norm(h) may be "center": the mean of each token's values is taken out, and added to h' again. A model that
    transformer_lens loads with center_writing_weights has such residual streams; its logits are the same.

    Also: tanh_relu tanh(max(p, 0)); identity p; signed_topk the k largest p, sign kept; abstopk the k largest
    |p|, sign kept; groupmax max(p, 0) on the largest p of each of k equal groups of features.

    W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_enc [d_sae], b_dec [d_in], threshold [d_sae] or None: all
    float32, contiguous, on one device. Without an input norm, and with "center", feature i adds
    f_i * W_dec[i] to h', so W_dec[i] is its direction per unit of activation in every layout; with another one,
    f_i * output_scale(h) * W_dec[i].
    """

    def __init__(self, config, W_enc, W_dec, b_enc, b_dec, threshold=None):
        """Shapes as above, any float dtype. Raises ValueError where a shape and the config disagree."""
        self.config = config
        self.W_enc = _shaped("W_enc", W_enc, (config.d_in, config.d_sae))
        if config.input_norm == "center":
            # (h - mean h) W = h (W - column means of W): then p is affine in h, as without a norm.
            self.W_enc = self.W_enc - self.W_enc.mean(0)
        self.W_dec = _shaped("W_dec", W_dec, (config.d_sae, config.d_in))
        self.b_enc = _shaped("b_enc", b_enc, (config.d_sae,))
        self.b_dec = _shaped("b_dec", b_dec, (config.d_in,))
        if (threshold is None) == (config.activation == "jumprelu"):
            raise ValueError("A jumprelu SAE needs a threshold, and no other activation reads one.")
        self.threshold = None if threshold is None else _shaped("threshold", threshold, (config.d_sae,))

    @property
    def device(self) -> torch.device:
        return self.W_enc.device

    @property
    def is_plain(self) -> bool:
        """True when f = max(p, 0), cut at `threshold` if there is one, and p = h @ W_enc + b_enc.

        Then each feature can be computed by itself, in blocks, from the weights alone.
        """
        return self.config.input_norm in ("none", "center") and self.config.activation in ("relu", "jumprelu")

    @property
    def floor(self) -> torch.Tensor:
        """What p has to exceed where the SAE is plain: 0, or the threshold if that is higher. [d_sae]"""
        return torch.zeros_like(self.b_enc) if self.threshold is None else self.threshold.clamp_min(0)

    def to(self, device) -> "SparseAutoencoder":
        """The same SAE on another device; this one stays where it is."""
        moved = [None if w is None else w.to(device) for w in self._weights()]
        return SparseAutoencoder(self.config, *moved)

    @torch.no_grad()
    def encode(self, h):  # [*, d_in]
        """Feature activations of h, dense float32 [*, d_sae].

        Same as reference.encode: float32 rounding.
        """
        return self.activate(self.pre_activations(h))

    @torch.no_grad()
    def pre_activations(self, h, features=None):  # [*, d_in]
        """p of all features, or of `features` [n], before the activation function. float32 [*, d_sae or n]"""
        chosen = slice(None) if features is None else features
        x = self._normalise(h.to(self.device, torch.float32))[0]
        return x @ self.W_enc[:, chosen] + self.b_enc[chosen]

    @torch.no_grad()
    def decode(self, f, h=None):  # [*, d_sae], [*, d_in]
        """Reconstruction from activations, float32 [*, d_in].

        An SAE with an input norm undoes it with the mean and size of `h`; ValueError where `h` is missing.
        Same as reference.decode: float32 rounding.
        """
        reconstruction = f.to(self.device, torch.float32) @ self.W_dec + self.b_dec
        if self.config.input_norm == "none":
            return reconstruction
        if h is None:
            norm = self.config.input_norm
            raise ValueError(f"This SAE undoes {norm} on its output: call decode(f, h), h = activations.")
        shift, scale = self.undoing(h)
        return reconstruction * scale + shift

    def activate(self, p):  # [*, d_sae]
        """f = act(p), see the class."""
        return _ACT[self.config.activation](p, self.config.k, self.threshold)

    @torch.no_grad()
    def output_scale(self, h):  # [*, d_in]
        """How far W_dec[i] is stretched on its way to h', [*, 1]: ones without input norm."""
        return self.undoing(h)[1]

    def undoing(self, h):  # [*, d_in]
        """How the input norm is undone: shift and scale of h' = x' * scale + shift, [*, 1] each.

        Same as reference.input_norm: float32 rounding.
        """
        return self._normalise(h.to(self.device, torch.float32))[1:]

    def _normalise(self, h):
        """x, shift, scale: what the encoder sees of h, and how x' becomes h' = x' * scale + shift."""
        if self.config.input_norm == "layer_norm":
            # The deviation is unbiased (n - 1), as in every trainer that has this norm; the way back has no eps.
            shift = h.mean(-1, keepdim=True)  # [*, 1]
            scale = h.std(-1, keepdim=True)  # [*, 1]
            return (h - shift) / (scale + LAYER_NORM_EPS), shift, scale
        if self.config.input_norm == "center":
            mean = h.mean(-1, keepdim=True)  # [*, 1]
            return h - mean, mean, torch.ones_like(mean)
        if self.config.input_norm == "constant_norm_rescale":
            # SAELens multiplies by sqrt(d_in) / |h|: every input gets the length sqrt(d_in).
            scale = h.norm(dim=-1, keepdim=True) / self.config.d_in**0.5  # [*, 1]
            return h / scale, torch.zeros_like(scale), scale
        return h, torch.zeros_like(h[..., :1]), torch.ones_like(h[..., :1])

    def _weights(self):
        return self.W_enc, self.W_dec, self.b_enc, self.b_dec, self.threshold

    def __repr__(self):
        c = self.config
        return f"SparseAutoencoder({c.format}: {c.d_in} -> {c.d_sae} {c.activation}, hook {c.hook_point})"


def _shaped(name, tensor, shape):
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}, the config says {list(shape)}.")
    return tensor.detach().to(torch.float32).contiguous()


def _keep(p, indices):
    """p at the indices of each token, 0 elsewhere. [*, d_sae], [*, kept] -> [*, d_sae]"""
    return torch.zeros_like(p).scatter_(-1, indices, p.gather(-1, indices))


# Of the same p each is what its name is in `reference`, up to which of several equal ones is kept. [*, d_sae] twice


def _topk(p, k, _):
    """Same as reference.topk: exact."""
    # ReLU comes last: of a token with fewer than k positive p, fewer than k features are active.
    return _keep(p, p.topk(k, dim=-1).indices).relu_()


def _signed_topk(p, k, _):
    """Same as reference.signed_topk: exact."""
    return _keep(p, p.topk(k, dim=-1).indices)


def _abstopk(p, k, _):
    """Same as reference.abstopk: exact."""
    return _keep(p, p.abs().topk(k, dim=-1).indices)


def _groupmax(p, k, _):
    """Same as reference.groupmax: exact."""
    # A group is d_sae / k features next to one another, as in sparsify.
    groups = p.unflatten(-1, (k, -1))  # [*, k, d_sae / k]
    return _keep(groups, groups.argmax(-1, keepdim=True)).flatten(-2).relu_()


_ACT = {
    "relu": lambda p, k, threshold: p.relu(),
    # A threshold may lie below 0 (a gated SAE rewritten): ReLU still takes negative p away.
    "jumprelu": lambda p, k, threshold: p.relu() * (p > threshold),
    "tanh_relu": lambda p, k, threshold: p.relu().tanh_(),
    "identity": lambda p, k, threshold: p,
    "topk": _topk,
    "signed_topk": _signed_topk,
    "abstopk": _abstopk,
    "groupmax": _groupmax,
}
