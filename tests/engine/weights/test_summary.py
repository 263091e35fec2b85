"""On which rows are losses measured, and how sure are the figures that follow?"""

import numpy as np
import torch

from features.engine import reference
from features.engine.weights.summary import _margins, loss_rows


def test_rows_are_spread_over_all_of_them_and_never_taken_twice():
    for used, most in ((300, 256), (30, 256), (4000, 256), (257, 256)):
        rows = loss_rows(used, most)
        assert len(set(rows)) == len(rows) == min(used, most) and rows[0] == 0
        assert max(np.diff(rows)) - min(np.diff(rows)) <= 1 and used - rows[-1] <= used // len(rows) + 1


def test_margins_are_those_of_rows_that_are_drawn_again():
    rng = np.random.default_rng(1)
    tokens = rng.integers(90, 128, 200)
    clean = rng.normal(4, 0.5, 200)  # rows differ much, what reconstruction costs little
    means = np.stack([clean, clean + rng.normal(0.05, 0.01, 200), clean + 3 + rng.normal(0, 0.3, 200)])
    losses = np.concatenate([means * tokens, tokens[None]]).T  # [200, 4]
    drawn = torch.from_numpy(losses)[torch.randint(200, (5000, 200), generator=torch.Generator().manual_seed(0))].sum(1)
    recovered = reference.bootstrap_margin(reference.loss_recovered(*drawn[:, :3].T))
    cost = reference.bootstrap_margin((drawn[:, 1] - drawn[:, 0]) / drawn[:, 3])
    np.testing.assert_allclose(_margins(losses), (float(recovered), float(cost)), rtol=0.08)
    apart = reference.bootstrap_margin(drawn[:, 0] / drawn[:, 3])  # of one loss alone
    assert cost < apart / 20


def test_one_row_has_no_interval():
    assert np.isnan(_margins(np.ones((1, 4)))).all()
