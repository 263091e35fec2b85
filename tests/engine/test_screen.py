"""The screen in bfloat16 misses no active entry, whatever the numbers, and changes no figure."""

import numpy as np
import pytest
import torch

from features.engine.collect import collect
from features.engine.encoding import Encoder, active_entries
from features.engine.sae import SAEConfig, SparseAutoencoder
from features.engine.screen import Screen

TOKENS, WIDTH, FEATURES = 70, 200, 300
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]


def _sae(W_enc, b_enc, threshold=None):
    activation = "relu" if threshold is None else "jumprelu"
    config = SAEConfig(d_in=W_enc.shape[0], d_sae=W_enc.shape[1], activation=activation)
    return SparseAutoencoder(config, W_enc, W_enc.t(), b_enc, torch.zeros(W_enc.shape[0]), threshold)


def _draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _ordinary():
    return _draw(0, TOKENS, WIDTH), _draw(1, WIDTH, FEATURES), -20 - 10 * _draw(2, FEATURES).abs()


def _on_the_edge():
    """Biases that leave each feature barely active on one token: by the last bit of the float32 sum."""
    h, W, _ = _ordinary()
    best = (h @ W).amax(0)
    return h, W, -torch.nextafter(best, best.new_tensor(0.0))


def _rounded_the_wrong_way():
    """Every number lies where bfloat16 rounds it down, so that each product comes out too small."""
    step = 2.0**-8
    up = 1 + 0.499 * step  # rounds to 1
    h = up * torch.sign(_draw(3, 1, WIDTH)).expand(TOKENS, -1).contiguous()
    W = (up * torch.sign(h[0]))[:, None].expand(-1, FEATURES).contiguous()
    exact = float((h[0].double() * W[:, 0].double()).sum())
    return h, W, torch.full((FEATURES,), -exact * (1 - 2e-5))


def _cancelling():
    """Large numbers of either sign whose sum is small: rounding is all that the rough product shows."""
    h, W = 1e3 * _draw(4, TOKENS, WIDTH), _draw(5, WIDTH, FEATURES)
    h[:, WIDTH // 2 :], W[WIDTH // 2 :] = h[:, : WIDTH // 2], -W[: WIDTH // 2]
    h = h * (1 + 1e-4 * _draw(6, TOKENS, WIDTH))
    return h, W, torch.zeros(FEATURES)


def _of_all_sizes():
    scale = 10.0 ** torch.linspace(-6, 6, WIDTH)[None]
    return _draw(7, TOKENS, WIDTH) * scale, _draw(8, WIDTH, FEATURES) / scale.t(), -0.3 * _draw(9, FEATURES).abs()


def _far_from_the_middle():
    """A large mean that all tokens share, and biases that take it away again."""
    h, W, b = _ordinary()
    shift = 300 * _draw(10, WIDTH)
    return h + shift, W, b - shift @ W


CASES = [_ordinary, _on_the_edge, _rounded_the_wrong_way, _cancelling, _of_all_sizes, _far_from_the_middle]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.strip("_"))
@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("device", DEVICES)
def test_no_active_entry_is_missed(case, jump, offset, device):
    h, W, b = case()
    threshold = 0.1 * _draw(11, FEATURES).abs() if jump else None
    sae, h = _sae(W, b + (threshold if jump else 0), threshold).to(device), h.to(device)
    features, tokens, values = active_entries(sae, h)
    exact = h.double() @ sae.W_enc.double() + sae.b_enc.double()
    truly = (exact > (0 if threshold is None else sae.threshold.double())).t().reshape(-1).nonzero()[:, 0]
    candidates = Screen(sae, h.mean(0) * offset).candidates(h)
    assert len(features), "the case has nothing to miss"
    assert not set((features * TOKENS + tokens).tolist()) - set(candidates.tolist())
    assert not set(truly.tolist()) - set(candidates.tolist())


def test_the_screen_lets_little_else_through():
    h, W, b = _ordinary()
    sae = _sae(W, b)
    active, candidates = len(active_entries(sae, h)[0]), len(Screen(sae, h.mean(0)).candidates(h))
    assert active <= candidates < 1.5 * active


@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("tokens_at_once", [16, 2048])
def test_screened_entries_are_those_of_float32(jump, tokens_at_once, monkeypatch):
    monkeypatch.setattr("features.engine.encoding.TOKENS", tokens_at_once)
    h, W, b = _ordinary()
    sae = _sae(W, b, 0.5 * torch.ones(FEATURES) if jump else None)
    for found, plain in zip(Encoder(sae, "on")(h), active_entries(sae, h), strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=2e-5)


def test_screened_activations_do_not_depend_on_what_is_encoded_beside_them():
    h, W, b = _ordinary()
    sae = _sae(W, b)
    features, tokens, values = Encoder(sae, "on")(h)
    alone = Encoder(sae, "on")(h[40:41])
    own = tokens == 40
    assert torch.equal(features[own], alone[0]) and torch.equal(values[own], alone[2])


def test_a_word_that_is_no_screen_is_refused():
    with pytest.raises(ValueError, match="'fast'.*auto, on, off"):
        Encoder(_sae(*_ordinary()[1:]), "fast")


def test_statistics_with_the_screen_are_those_without(subject, rows):
    on, off = (collect(subject, rows, tokens=700, seed=5, screen=screen) for screen in ("on", "off"))
    assert on.summary.l0 == off.summary.l0
    for one, other in zip(on.features(), off.features(), strict=True):
        assert one.count == other.count
        np.testing.assert_array_equal(one.top.positions, other.top.positions)
        np.testing.assert_array_equal(one.random.positions, other.random.positions)
        np.testing.assert_allclose(one.quantiles, other.quantiles, rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(one.correlated_neurons.pearson, other.correlated_neurons.pearson, atol=5e-6)
