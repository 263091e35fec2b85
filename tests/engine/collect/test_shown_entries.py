"""Do loss effects come out the same when they are computed segment by segment for blocks of features?"""

import numpy as np
import pytest

from features.engine.collect import shown_entries
from features.engine.collect.collect import collect
from features.engine.results import Cancelled
from features.engine.weights import loss_effects

TOKENS = 700


@pytest.fixture
def whole(subject, rows):
    return collect(subject, rows, tokens=TOKENS, seed=5)


@pytest.fixture
def blocks(tmp_path, whole):
    """What two blocks of features show."""
    folders = [tmp_path / "shown-0", tmp_path / "shown-1"]
    for folder, features in zip(folders, np.array_split(np.array(whole.indices), 2), strict=True):
        shown_entries.write_shown(folder, whole.choose(features))
    return folders


def test_segments_of_blocks_make_the_same_features(tmp_path, whole, blocks):
    spans, folders = [(0, 9), (9, 10), (10, 1000)], []
    for number, span in enumerate(spans):
        folders.append(tmp_path / f"effects-{number}")
        shown_entries.write_effects(folders[-1], whole.effects_of_blocks(shown_entries.shown_within(blocks, span)))
    halves = np.array_split(np.array(whole.indices), 2)
    parted = [
        one for n, half in enumerate(halves) for one in whole.features(half, shown_entries.effects_on(folders, n))
    ]
    for one, other in zip(whole.features(), parted, strict=True):
        assert one.index == other.index
        for name in ("losses", "loss_effects", "logit_effects"):
            np.testing.assert_allclose(getattr(one.shown, name), getattr(other.shown, name), atol=2e-6)


def test_an_entry_alone_in_its_rows_has_the_effects_it_has_beside_others(whole, blocks):
    entries_shown = shown_entries.shown_within(blocks, (0, 1000))[0]
    together = whole.effects(entries_shown)
    for n in (0, len(entries_shown) // 2):
        np.testing.assert_allclose(whole.effects(entries_shown[n : n + 1])[0], together[n], atol=2e-6)


def test_every_shown_entry_lies_in_one_segment(blocks):
    every = [shown_entries.shown_within([folder], (0, 1000))[0] for folder in blocks]
    for number, folder in enumerate(blocks):
        parts = [shown_entries.shown_within([folder], span)[0] for span in [(0, 9), (9, 10), (10, 1000)]]
        assert np.array_equal(np.concatenate(parts), every[number])
        assert len(every[number]) and (np.diff(every[number]["row"]) >= 0).all()


@pytest.mark.parametrize("positions", [1, 40])
def test_more_positions_than_are_held_at_a_time_are_done_batch_by_batch(whole, positions, monkeypatch):
    at_once = list(whole.features())
    monkeypatch.setattr(
        "features.engine.weights.loss_effects.RESIDUAL_BYTES", 4 * whole.subject.model.d_model * positions
    )
    for one, other in zip(at_once, whole.features(), strict=True):
        np.testing.assert_allclose(one.shown.loss_effects, other.shown.loss_effects, atol=2e-6)


def test_progress_is_told_and_a_job_can_stop_while_text_is_read(whole, blocks, monkeypatch):
    entries = np.sort(shown_entries.shown_within(blocks, (0, 1000))[0], order="row")
    monkeypatch.setattr(loss_effects, "FORWARD_TOKENS", 1)
    heard = []
    loss_effects.effects_at(whole.subject, whole.layout.rows, entries, lambda *now: heard.append(now))
    assert heard == sorted(heard) and heard[-1][0] == heard[-1][1] and len(heard) > 5

    def stop(done, total):
        raise Cancelled

    monkeypatch.setattr(loss_effects, "ablate", None)  # is not reached
    with pytest.raises(Cancelled):
        loss_effects.effects_at(whole.subject, whole.layout.rows, entries, stop)
