"""The model reads a run's rows once; what is kept of it changes no figure, and is believed only while it is right."""

from dataclasses import asdict

import numpy as np
import pytest

from features.engine.training import kept_rows, measure, rows_pass

from .. import small


def test_later_checkpoints_have_the_same_figures_without_the_model(subject, tmp_path, monkeypatch):
    rows, kept = small.corpus_rows(subject.vocabulary.size), tmp_path / "kept"

    def read(name, kept=kept):
        found = rows_pass.read_rows(subject, rows, tmp_path / name, bos=True, kept=kept)
        return asdict(measure.health_of(found)), measure.records_of(found)[1]

    asked = []
    model = type(subject).activations
    monkeypatch.setattr(type(subject), "activations", lambda self, ids: asked.append(1) or model(self, ids))
    plain, first = read("plain", kept=None), read("first")
    before = len(asked)
    figures, records = read("second")
    assert len(asked) - before <= 2  # one row to be sure, and BOS alone
    for one, other in zip(plain[0].values(), figures.values(), strict=True):
        assert (one == pytest.approx(other, rel=1e-6)) if isinstance(one, float) else one == other
    assert first[0] == figures and (records["tops"] == plain[1]["tops"]).all()
    activations = np.load(kept / kept_rows.ACTIVATIONS, mmap_mode="r+")
    activations += 1  # as another model would have it
    activations.flush()
    assert read("third")[0] == figures


def test_rows_that_stand_twice_or_that_nobody_asked_for_are_kept_as_they_are(subject, tmp_path):
    rows = small.corpus_rows(subject.vocabulary.size)
    rows[len(rows) // 2] = rows[-1]  # the one that is looked at again stands twice
    with kept_rows.kept_rows(subject, rows, tmp_path) as first:
        first.activations(rows[:1].astype(np.int64))
    with kept_rows.kept_rows(subject, rows, tmp_path) as later:
        assert later.known.all()  # found, and believed
        for row in rows[[1, len(rows) // 2, -1]].astype(np.int64):
            assert later.activations(row)[0].numpy() == pytest.approx(subject.activations(row)[0].numpy(), abs=1e-5)
