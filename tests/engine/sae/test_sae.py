"""An SAE's formula, however it is put together, is the reference's."""

import pytest
import torch

from features.engine import reference
from features.engine.sae.sae import ACTIVATIONS, CHOOSING, INPUT_NORMS, SAEConfig, SparseAutoencoder

D, H, K = 6, 12, 3


def made_up(activation="relu", input_norm="none", seed=0):
    g = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    k = K if activation in CHOOSING else None
    threshold = normal(H).abs() * 0.5 if activation == "jumprelu" else None
    config = SAEConfig(D, H, activation=activation, k=k, input_norm=input_norm)
    return SparseAutoencoder(config, normal(D, H), normal(H, D), normal(H), normal(D), threshold)


def activations(seed=1):
    return torch.randn(2, 5, D, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


ACTS = {
    "relu": lambda p, threshold: p.relu(),
    "tanh_relu": lambda p, threshold: p.relu().tanh(),
    "identity": lambda p, threshold: p,
    "jumprelu": reference.jumprelu,
    "topk": lambda p, threshold: reference.topk(p, K),
    "signed_topk": lambda p, threshold: reference.signed_topk(p, K),
    "abstopk": lambda p, threshold: reference.abstopk(p, K),
    "groupmax": lambda p, threshold: reference.groupmax(p, K),
}


def by_reference(sae, h):
    """f and h' in float64."""
    W_enc, W_dec, b_enc, b_dec, threshold = (None if w is None else w.double() for w in sae._weights())
    norm, x, shift, scale = sae.config.input_norm, h.double(), 0, 1
    if norm != "none":
        x, shift, scale = reference.input_norm(x, norm)
    f = reference.encode(x, W_enc, b_enc, act=lambda p: ACTS[sae.config.activation](p, threshold))
    return f, reference.decode(f, W_dec, b_dec) * scale + shift


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("input_norm", INPUT_NORMS)
def test_encode_and_decode_are_the_references(activation, input_norm):
    sae, h = made_up(activation, input_norm), activations()
    f = sae.encode(h)
    back = sae.decode(f, h)
    expected, rebuilt = by_reference(sae, h)
    torch.testing.assert_close(f, expected.float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back, rebuilt.float(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_plain_means_the_weights_alone_give_the_activations(activation):
    sae, h = made_up(activation), activations()
    assert sae.is_plain == (activation in ("relu", "jumprelu"))
    if sae.is_plain:
        p = h @ sae.W_enc + sae.b_enc
        threshold = 0 if sae.threshold is None else sae.threshold
        assert torch.equal(sae.encode(h), torch.where(p > threshold, p.relu(), 0))


@pytest.mark.parametrize("input_norm", ["layer_norm", "constant_norm_rescale"])
def test_no_sae_with_an_input_norm_is_plain(input_norm):
    assert not made_up("relu", input_norm).is_plain


@pytest.mark.parametrize("activation", ["topk", "signed_topk", "abstopk", "groupmax"])
def test_no_more_than_k_features_are_active(activation):
    assert ((made_up(activation).encode(activations()) != 0).sum(-1) <= K).all()


@pytest.mark.parametrize("input_norm", INPUT_NORMS)
def test_a_feature_adds_its_decoder_row_times_its_activation_and_the_output_scale(input_norm):
    sae, h = made_up("relu", input_norm), activations()
    f = sae.encode(h)
    without = f.clone()
    without[..., 4] = 0
    added = sae.decode(f, h) - sae.decode(without, h)
    direct = f[..., 4:5] * sae.output_scale(h) * sae.W_dec[4]
    torch.testing.assert_close(added, direct, atol=1e-5, rtol=1e-4)


def test_decoding_with_an_input_norm_asks_for_the_activations():
    sae = made_up("relu", "layer_norm")
    with pytest.raises(ValueError, match=r"undoes layer_norm.*decode\(f, h\)"):
        sae.decode(torch.zeros(1, H))


def test_weights_and_outputs_are_float32_whatever_comes_in():
    config = SAEConfig(D, H)
    low = [torch.ones(s, dtype=torch.float16) for s in ((D, H), (H, D), (H,), (D,))]
    sae = SparseAutoencoder(config, *low)
    assert {w.dtype for w in (sae.W_enc, sae.W_dec, sae.b_enc, sae.b_dec)} == {torch.float32}
    assert sae.encode(torch.ones(1, D, dtype=torch.bfloat16)).dtype == torch.float32
    assert sae.decode(torch.ones(1, H, dtype=torch.float64)).dtype == torch.float32


def test_a_transposed_matrix_is_refused_by_name_and_shape():
    config = SAEConfig(D, H)
    with pytest.raises(ValueError, match=r"W_enc has shape \[12, 6\], the config says \[6, 12\]"):
        SparseAutoencoder(config, torch.ones(H, D), torch.ones(H, D), torch.ones(H), torch.ones(D))


def test_a_jumprelu_sae_needs_its_threshold_and_no_other_has_one():
    weights = torch.ones(D, H), torch.ones(H, D), torch.ones(H), torch.ones(D)
    with pytest.raises(ValueError, match="threshold"):
        SparseAutoencoder(SAEConfig(D, H, activation="jumprelu"), *weights)
    with pytest.raises(ValueError, match="threshold"):
        SparseAutoencoder(SAEConfig(D, H), *weights, torch.ones(H))


@pytest.mark.parametrize("k", [None, 0, H + 1])
def test_top_k_needs_a_k_between_one_and_the_number_of_features(k):
    with pytest.raises(ValueError, match="1 to 12 features"):
        SAEConfig(D, H, activation="topk", k=k)


def test_groups_have_to_be_equal():
    with pytest.raises(ValueError, match="groupmax needs a k that divides its 12 features into equal groups, not 5"):
        SAEConfig(D, H, activation="groupmax", k=5)


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="relu, jumprelu"):
        SAEConfig(D, H, activation="swish")
    with pytest.raises(ValueError, match="none, layer_norm"):
        SAEConfig(D, H, input_norm="batch")


def test_moving_leaves_the_original_where_it_is():
    sae = made_up("jumprelu")
    moved = sae.to("cpu")
    assert moved is not sae and moved.config == sae.config
    assert torch.equal(moved.encode(activations()), sae.encode(activations()))


@pytest.mark.gpu
def test_the_gpu_gives_the_same_activations():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    sae, h = made_up("jumprelu", "layer_norm"), activations()
    torch.testing.assert_close(sae.to("cuda").encode(h).cpu(), sae.encode(h), atol=1e-4, rtol=1e-4)
