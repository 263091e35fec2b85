"""A screen in coarser numbers misses no active entry, whatever the numbers, and changes no figure."""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.collect.collect import collect
from features.engine.encoder import encoder, exact
from features.engine.encoder.autotune import multiplies_bytes_exactly
from features.engine.encoder.bfloat16_screen import Bfloat16Screen
from features.engine.encoder.dense import dense_entries
from features.engine.encoder.encoder import Encoder
from features.engine.encoder.int8_screen import Int8Screen
from features.engine.sae.sae import SAEConfig, SparseAutoencoder

TOKENS, WIDTH, FEATURES = 70, 200, 300
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

EXACT_BYTES = pytest.mark.skipif(not multiplies_bytes_exactly(), reason="this processor's products of bytes saturate")
HERE = ["bfloat16", pytest.param("int8", marks=EXACT_BYTES)]
SCREENS = [
    pytest.param(Bfloat16Screen, "cpu", id="bfloat16"),
    pytest.param(Int8Screen, "cpu", id="int8", marks=EXACT_BYTES),
    pytest.param(Bfloat16Screen, "cuda", id="bfloat16-cuda", marks=[pytest.mark.gpu, NEEDS_GPU]),
]


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


def _of_bytes_at_their_ends():
    """Numbers halfway between two steps, which are 1 for ends of 126 and -126, and biases a bit off."""
    h, W = 125.5 * torch.sign(_draw(12, TOKENS, WIDTH)), 125.5 * torch.sign(_draw(14, WIDTH, FEATURES))
    h[:, 0], h[:, 1], W[0], W[1] = 126, -126, 126, -126
    best = (h @ W).amax(0)
    return h, W, -best * (1 - 3e-6)


def _next_to_nothing():
    """Tokens and features of zeros, or as small as float32 goes, among ordinary ones."""
    h, W, b = _ordinary()
    h[::3], h[1::3], W[:, ::3], W[:, 1::7] = 0, 1e-38 * h[1::3], 1e-30 * W[:, ::3], 0
    b[::2] = 1e-20
    return h, W, b


def _far_from_the_middle():
    """A large mean that all tokens share, and biases that take it away again."""
    h, W, b = _ordinary()
    shift = 300 * _draw(10, WIDTH)
    return h + shift, W, b - shift @ W


CASES = [
    _ordinary, _on_the_edge, _rounded_the_wrong_way, _cancelling, _of_all_sizes, _of_bytes_at_their_ends,
    _next_to_nothing, _far_from_the_middle,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.strip("_"))
@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("screen, device", SCREENS)
def test_no_active_entry_is_missed(case, jump, offset, screen, device):
    h, W, b = case()
    threshold = 0.1 * _draw(11, FEATURES).abs() if jump else None
    sae, h = _sae(W, b + (threshold if jump else 0), threshold).to(device), h.to(device)
    features, tokens, values = dense_entries(sae, h)
    weights = sae.W_enc.double(), sae.b_enc.double()
    exact = reference.encode(h.double(), *weights, act=lambda p: reference.jumprelu(p, sae.floor.double()))
    truly = exact.t().reshape(-1).nonzero()[:, 0]
    candidates = screen(sae, h.mean(0) * offset).candidates(h)
    assert len(features), "the case has nothing to miss"
    assert not set((features * TOKENS + tokens).tolist()) - set(candidates.tolist())
    assert not set(truly.tolist()) - set(candidates.tolist())


@EXACT_BYTES
def test_numbers_that_are_no_numbers_are_let_through():
    """What cannot be bounded is not ruled out."""
    h, W, b = _ordinary()
    h[3, 5], h[9, 0] = torch.inf, torch.nan
    let_through = Int8Screen(_sae(W, b), torch.zeros(WIDTH)).candidates(h)
    for token in (3, 9):
        assert int((let_through % TOKENS == token).sum()) == FEATURES
    assert torch.equal(let_through, let_through.unique())


@pytest.mark.parametrize("screen, most", [(Bfloat16Screen, 1.5), pytest.param(Int8Screen, 3, marks=EXACT_BYTES)])
def test_the_screen_lets_little_else_through(screen, most):
    h, W, b = _ordinary()
    sae = _sae(W, b)
    active, candidates = len(dense_entries(sae, h)[0]), len(screen(sae, h.mean(0)).candidates(h))
    assert active <= candidates < most * active


@pytest.mark.parametrize("jump", [False, True])
@pytest.mark.parametrize("tokens_at_once", [16, 2048])
@pytest.mark.parametrize("screen", HERE)
def test_screened_entries_are_those_of_float32(jump, tokens_at_once, screen, monkeypatch):
    monkeypatch.setattr("features.engine.encoder.encoder.TOKENS", tokens_at_once)
    h, W, b = _ordinary()
    sae = _sae(W, b, 0.5 * torch.ones(FEATURES) if jump else None)
    for found, plain in zip(Encoder(sae, screen)(h), dense_entries(sae, h), strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("jump", [False, True])
def test_loops_verify_what_tensors_verify(jump):
    h, W, b = _ordinary()
    sae = _sae(W, b, 0.5 * torch.ones(FEATURES) if jump else None)
    tiles, found = exact.column_tiles(W.t()), Bfloat16Screen(sae, h.mean(0)).candidates(h)
    by_loops, by_tensors = (way(sae, tiles, h, found) for way in (exact.exact_by_loops, exact.exact_by_tensors))
    for ours, its in zip(by_loops, by_tensors, strict=True):
        torch.testing.assert_close(ours, its, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("screen", HERE)
@pytest.mark.parametrize("token", [40, 41])
def test_screened_activations_do_not_depend_on_what_is_encoded_beside_them(screen, token):
    h, W, b = _ordinary()
    sae = _sae(W, b)
    features, tokens, values = Encoder(sae, screen)(h)
    alone = Encoder(sae, screen)(h[token : token + 1])
    own = tokens == token
    assert torch.equal(features[own], alone[0]) and torch.equal(values[own], alone[2])


@pytest.mark.parametrize("screen", [*HERE, "off"])
def test_of_no_tokens_nothing_is_active(screen):
    """Rows without a BOS, of which every token is counted, leave none to be encoded again."""
    h, W, b = _ordinary()
    chosen = Encoder(_sae(W, b), screen)
    chosen.calibrate(h)
    assert [len(found) for found in chosen(h[:0])] == [0, 0, 0]


def test_a_word_that_is_no_screen_is_refused():
    with pytest.raises(ValueError, match="'fast'.*auto, on, off, bfloat16, int8"):
        Encoder(_sae(*_ordinary()[1:]), "fast")


@pytest.mark.parametrize("screen", HERE)
def test_statistics_with_the_screen_are_those_without(subject, rows, screen):
    on, off = (collect(subject, rows, tokens=700, seed=5, screen=way) for way in (screen, "off"))
    assert on.summary.l0 == off.summary.l0
    assert [each.summary.versions["screen"] for each in (on, off)] == [screen, "none"]
    for one, other in zip(on.features(), off.features(), strict=True):
        assert one.activity.count == other.activity.count
        np.testing.assert_array_equal(one.examples.top.positions, other.examples.top.positions)
        np.testing.assert_array_equal(one.examples.random.positions, other.examples.random.positions)
        np.testing.assert_allclose(one.activity.quantiles, other.activity.quantiles, rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(
            one.relatives.correlated_neurons.pearson, other.relatives.correlated_neurons.pearson, atol=5e-6
        )


MEASURED = [  # shares of float32's time, a margin added to what int8 lets through, asked for, chosen
    ({"bfloat16": 0.4, "int8": 0.2}, 0.0, "auto", "int8"),
    ({"bfloat16": 0.1, "int8": 0.2}, 0.0, "auto", "bfloat16"),
    ({"bfloat16": 0.4, "int8": 0.2}, 1e9, "auto", "bfloat16"),
    ({"bfloat16": 4.0, "int8": 0.2}, 1e9, "auto", None),
    ({"bfloat16": 4.0, "int8": 0.9}, 0.0, "auto", None),
    ({"bfloat16": 4.0, "int8": 0.9}, 0.0, "on", "int8"),
    ({"bfloat16": 0.4}, 0.0, "auto", "bfloat16"),
    ({"bfloat16": 0.4, "int8": 0.2}, 0.0, "off", None),
]


@EXACT_BYTES
@pytest.mark.parametrize("shares, margin, asked, kind", MEASURED)
def test_the_screen_is_the_quickest_with_what_it_lets_through(shares, margin, asked, kind, monkeypatch):
    monkeypatch.setattr(encoder, "relative_matmul_cost", lambda device: shares)
    monkeypatch.setattr(encoder, "LEAST_WEIGHTS", 1)
    fill = Int8Screen._fill_rows

    def wider(screen, *about):
        fill(screen, *about)
        screen.feature_terms[:, 2] += margin

    monkeypatch.setattr(Int8Screen, "_fill_rows", wider)
    h, W, b = _ordinary()
    chosen = Encoder(_sae(W, b - 40), asked)
    chosen.calibrate(h)
    assert chosen.screen_name == kind and chosen.is_screened == (kind is not None)
    assert len(chosen(h)[0]) == len(dense_entries(chosen.sae, h)[0])


def test_bytes_are_refused_where_their_products_saturate(monkeypatch):
    monkeypatch.setattr("features.engine.encoder.encoder.multiplies_bytes_exactly", lambda: False)
    with pytest.raises(ValueError, match="Products of 200 bytes are not exact on this device .*bfloat16 or auto"):
        Encoder(_sae(*_ordinary()[1:]), "int8")


def test_saturated_products_are_noticed(monkeypatch):
    multiplies_bytes_exactly.cache_clear()
    product = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda left, right: product(left, right).clamp(-(2**15), 2**15))
    try:
        assert not multiplies_bytes_exactly()
    finally:
        multiplies_bytes_exactly.cache_clear()
