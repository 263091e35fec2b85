"""Loss effects of many pairs are the reference's, wherever vocabulary and positions are cut, compiled or not."""

import pytest
import torch

from features.engine import reference
from features.engine.model.unembedding import Unembedding
from features.engine.weights import ablation, ablation_sums
from features.engine.weights.ablation import ablate

from ..twin import unembedding_of

KINDS = ["layer norm", "rms norm", "no norm", "huge logits", "huge activation", "capped logits"]


WAYS = ["by tensors", "compiled", "compiled, many tiles", "by tensors, many tiles", "by tensors, all in float32"]


@pytest.fixture(params=WAYS, autouse=True)
def way(request, monkeypatch):
    """How the sums over the vocabulary come about."""
    monkeypatch.setattr(ablation_sums, "COMPILED_FROM", 0 if "compiled" in request.param else 1 << 60)
    if "tiles" in request.param:
        monkeypatch.setattr(ablation, "TILE_BYTES", 1)
        monkeypatch.setattr(ablation, "LEAST_WIDTH", 16)
        monkeypatch.setattr(ablation, "BLOCK_BYTES", 1)
        monkeypatch.setattr(ablation, "LEAST_POSITIONS", 2)
    if "float32" in request.param:
        monkeypatch.setattr(ablation, "_widest_dtype", lambda device: torch.float32)


def _head(centred=True, normed=True, size=1.0, cap=None):
    g = torch.Generator().manual_seed(0)
    W, b = torch.randn(8, 50, generator=g) * size, torch.randn(50, generator=g)
    gain, bias = 1 + torch.randn(8, generator=g) / 5, torch.randn(8, generator=g) / 5
    return Unembedding.fold(W, b, gain, bias if centred else None, centred=centred, normed=normed, cap=cap)


def _expected(head, x, target, direction, activation):
    """Loss, effect on it, and on the true token's logit before the norm's scale, in float64."""
    x, direction, activation, unembedding = x.double(), direction.double(), activation.double(), unembedding_of(head)
    loss = reference.losses(x, target, unembedding)
    effect = reference.loss_effect(x, target, activation, direction, unembedding)
    on_logit = reference.logit_effect_on_token(activation, direction, target, unembedding)
    return float(loss), float(effect), float(on_logit)


@pytest.mark.parametrize("kind", KINDS)
def test_ablations_equal_two_losses_taken_apart(kind):
    size, cap = 60.0 if kind == "huge logits" else 1.0, 2.0 if kind == "capped logits" else None
    head = _head(kind != "rms norm", kind != "no norm", size, cap)
    g = torch.Generator().manual_seed(1)
    x, e = torch.randn(4, 8, generator=g), torch.randn(3, 8, generator=g)
    targets = torch.tensor([1, 4, 2, 49])
    at, which = torch.tensor([3, 1, 0, 2, 3]), torch.tensor([0, 1, 2, 0, 1])
    f = torch.tensor([0.5, 1.0, 2.0, 0.1, 0.7]) * (1e4 if kind == "huge activation" else 1)
    found = ablate(head, x, targets, e, at, which, f)
    for n in range(5):
        expected = _expected(head, x[at[n]], targets[at[n]], e[which[n]], f[n])
        for value, exact in zip((found.losses[n], found.on_loss[n], found.on_logit[n]), expected, strict=True):
            assert float(value) == pytest.approx(exact, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("size", [300, 2000, 30000])
def test_an_ablation_that_overturns_the_logits_is_recomputed_with_care(size):
    """Logits so far apart that powers of two leave float32, or even float64, between one tile and another."""
    W = torch.zeros(4, 50)
    W[0, 40], W[1, 3], W[2, 20] = 1, 1, 1
    head = Unembedding.fold(W * size, normed=False)
    x, e, zero = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[1.0, -1.0, 0, 0]]), torch.zeros(1, dtype=torch.long)
    for target, loss, effect in ((40, 0, -size), (3, size, size), (20, size, 0)):
        found = ablate(head, x, torch.tensor([target]), e, zero, zero, torch.ones(1))
        assert float(found.losses) == pytest.approx(loss, rel=1e-6, abs=1e-7 * size)
        assert float(found.on_loss) == pytest.approx(effect, rel=1e-6, abs=1e-7 * size)


def test_no_pairs_have_no_effects():
    none = torch.zeros(0, dtype=torch.long)
    found = ablate(_head(), torch.randn(2, 8), none, torch.randn(1, 8), none, none, torch.zeros(0))
    assert found.losses.shape == found.on_loss.shape == found.on_logit.shape == (0,)


def test_progress_ends_with_the_whole_vocabulary():
    heard, zero = [], torch.zeros(1, dtype=torch.long)
    x, e, one = torch.randn(1, 8), torch.randn(1, 8), torch.ones(1)
    ablate(_head(), x, zero, e, zero, zero, one, progress=lambda *now: heard.append(now))
    assert heard[-1] == (50, 50) and [done for done, _ in heard] == sorted({done for done, _ in heard})
