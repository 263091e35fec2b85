"""The one final-norm path: loss effects stay right where exp would overflow and for norms of other kinds."""

import pytest
import torch

from features.engine.logits import Directions, Head, Positions, loss_effects


def _head(centred=True, normed=True, size=1.0):
    g = torch.Generator().manual_seed(0)
    W, b = torch.randn(8, 50, generator=g) * size, torch.randn(50, generator=g)
    gain, bias = 1 + torch.randn(8, generator=g) / 5, torch.randn(8, generator=g) / 5
    return Head.fold(W, b, gain, bias if centred else None, centred=centred, normed=normed)


def _brute(head, x, target, direction, activation):
    head = Head(head.U.double(), head.b.double(), head.eps, head.centred, head.normed)
    losses = [head.losses(y[None].double(), target[None]) for y in (x, x - activation * direction)]
    return float(losses[0] - losses[1])


@pytest.mark.parametrize("kind", ["layer norm", "rms norm", "no norm", "huge logits", "huge activation"])
def test_loss_effects_equal_two_losses_taken_apart(kind):
    head = _head(kind != "rms norm", kind != "no norm", size=60.0 if kind == "huge logits" else 1.0)
    g = torch.Generator().manual_seed(1)
    x, e = torch.randn(4, 8, generator=g), torch.randn(3, 8, generator=g)
    targets = torch.tensor([1, 4, 2, 9])
    at, which = torch.tensor([0, 1, 2, 3, 3]), torch.tensor([0, 1, 2, 0, 1])
    f = torch.tensor([0.5, 1.0, 2.0, 0.1, 0.7]) * (1e4 if kind == "huge activation" else 1)
    found = loss_effects(head, Positions.of(head, x, targets), Directions.of(head, e), at, which, f)
    for n in range(5):
        expected = _brute(head, x[at[n]], targets[at[n]], e[which[n]], f[n])
        assert float(found[n]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_an_ablation_that_overturns_the_logits_is_taken_again_with_care():
    head = Head.fold(torch.eye(4) * 300, normed=False)
    x, e = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[1.0, -1.0, 0, 0]])
    positions = Positions.of(head, x, torch.tensor([0]))
    at = torch.zeros(1, dtype=torch.long)
    found = loss_effects(head, positions, Directions.of(head, e), at, at, torch.ones(1))
    assert float(found) == pytest.approx(-300)


def test_no_pairs_have_no_effects():
    head = _head()
    none = torch.zeros(0, dtype=torch.long)
    positions = Positions.of(head, torch.randn(2, 8), torch.tensor([0, 1]))
    assert loss_effects(head, positions, Directions.of(head, torch.randn(1, 8)), none, none, torch.zeros(0)).shape == (
        0,
    )
