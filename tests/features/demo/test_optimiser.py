"""Does a step move the weights as its formula says?"""

import torch

from features.demo.making.optimiser import Adam, Muon, orthogonal
from features.demo.making.schedules import geometric, trapezoid


def test_orthogonal_keeps_directions_and_levels_their_sizes():
    torch.manual_seed(0)
    G = torch.randn(6, 10)
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    sizes = (U.T @ orthogonal(G) @ Vh.T).diagonal()
    assert sizes.min() > 0.6 and sizes.max() < 1.3
    torch.testing.assert_close(orthogonal(G.T), orthogonal(G).T)


def test_matrices_of_a_stack_are_orthogonalised_each_on_its_own():
    G = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonal(G)[1], orthogonal(G[1]), rtol=0.02, atol=0.02)


def test_two_muon_steps_are_the_formula():
    torch.manual_seed(2)
    weight, first, second = torch.randn(4, 9), torch.randn(4, 9), torch.randn(4, 9)
    muon = Muon(weight.clone(), rate=0.1, momentum=0.9)
    muon.step(first, 1.0)
    muon.step(second, 0.5)
    stretch = (9 / 4) ** 0.5
    expected = weight - 0.1 * stretch * orthogonal(first + 0.9 * first)
    expected -= 0.05 * stretch * orthogonal(second + 0.9 * (0.9 * first + second))
    torch.testing.assert_close(muon.weight, expected, rtol=1e-3, atol=1e-3)


def test_adam_is_torchs_adam():
    torch.manual_seed(3)
    start = torch.randn(5, 3)
    ours, theirs = Adam(start.clone(), 0.01, (0.9, 0.98), 1e-8), torch.nn.Parameter(start.clone())
    oracle = torch.optim.Adam([theirs], 0.01, (0.9, 0.98), 1e-8)
    for _ in range(5):
        theirs.grad = torch.randn(5, 3)
        ours.step(theirs.grad, 1.0)
        oracle.step()
    torch.testing.assert_close(ours.weight, theirs.data)


def test_the_rate_rises_stays_level_and_ends_at_nothing():
    curve = [trapezoid(done, 1000, 100, 0.22) for done in (0, 49, 99, 500, 780, 890, 1000)]
    assert curve == [0.01, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0]


def test_a_larger_budget_changes_nothing_before_the_decay():
    assert all(trapezoid(done, 1000, 100, 0.22) == trapezoid(done, 3000, 100, 0.22) for done in range(0, 780, 10))


def test_k_comes_down_by_equal_factors_and_stays():
    assert [round(geometric(done, 180, 45, 1000)) for done in (0, 500, 1000, 5000)] == [180, 90, 45, 45]
