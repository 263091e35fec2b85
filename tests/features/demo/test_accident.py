"""Does a provoked accident begin as the good run and end as the bad one, and is the right try kept?"""

from dataclasses import replace

import pytest
import torch

from features.demo.making import accident

from .test_resume import SAE

COURSE = accident.Course(features=100, k=4, before=24 * 8 * 6, between=24 * 8 * 2, after=24 * 8 * 4)


@pytest.fixture
def tries(monkeypatch):
    """The tries made, with cosines that are given."""

    def provoke(model, rows, path, cosines):
        made, whole = [], accident.lose_way

        def lose_way(before, times, plan):
            lost = whole(before, times, plan)
            made.append((times, before.weights["W_enc"].clone(), lost))
            lost.cosine = cosines[len(made) - 1]
            return lost

        monkeypatch.setattr(accident, "lose_way", lose_way)
        return accident.provoke(model, rows, path, replace(SAE, warm=1), COURSE, report=str), made

    return provoke


def test_the_first_that_is_bad_enough_is_kept_and_nothing_tried_after_it(tries, model, token_rows, tmp_path):
    kept, made = tries(model, token_rows, tmp_path / "accident.pt", [0.2, 0.31, 0.9])
    assert [times for times, _, _ in made] == [3.0, 10.0]
    assert (kept.times_rate, kept.cosine) == (10.0, 0.31)
    step = 24 * 8
    assert [tokens for tokens, _ in kept.checkpoints] == [6 * step, 8 * step, 12 * step]
    before, between, end = (sae.W_enc for _, sae in kept.checkpoints)
    torch.testing.assert_close(made[0][1], before, rtol=0, atol=0)  # both tries begin where the healthy part ended
    assert (between - before).norm() > 0.1 and (end - between).norm() > 0.1
    gentler = made[0][2].checkpoints[1][1].W_enc
    assert (between - before).norm() > 2 * (gentler - before).norm()


def test_where_none_is_bad_enough_the_worst_is_kept(tries, model, token_rows, tmp_path):
    kept, made = tries(model, token_rows, tmp_path / "accident.pt", [0.1, 0.25, 0.2])
    assert len(made) == 3 and kept.cosine == 0.25
