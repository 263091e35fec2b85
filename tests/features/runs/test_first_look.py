"""A share of the rows is told of first: figures of it, pages from it, and then the same to the last bit as without."""

import shutil
from dataclasses import asdict

import numpy as np
import pytest

from features.engine.training import measure, rows_pass
from features.engine.training.single_features import single_features
from features.models import Checkpoint, Judgement, Run
from features.runs import first_pages, records, warnings
from features.storage.readers import rows_of, subject_of
from features.storage.recognition import fingerprint

from .conftest import watch

pytestmark = pytest.mark.django_db


def test_a_first_look_is_told_as_such_and_replaced_by_what_all_rows_say(files, training, settings, monkeypatch):
    for step in (200, 400, 800):
        shutil.rmtree(training / str(step))
    weights = fingerprint(training / "100")["checkpoint_hash"]
    Judgement.objects.create(weights=weights, width=8, index=7, author="somebody", star=True)
    settings.SAEVIZ_QUICK_TOKENS = 100
    told, firsts, show, show_quick = [], [], first_pages.show, first_pages.write.show_quick

    def noting(lease, checkpoint, *rest):
        row = Checkpoint.objects.get(pk=checkpoint.pk)
        told.append((row, warnings.of_run(row.run, list(row.run.in_order()))))
        show(lease, checkpoint, *rest)

    def noting_first(lease, summary, features, of=None):
        firsts.extend(features)
        return show_quick(lease, summary, features, of)

    monkeypatch.setattr(first_pages, "show", noting)
    monkeypatch.setattr(first_pages.write, "show_quick", noting_first)
    watch(files, training)
    # Told once, as what it is, and held against no rule.
    ((row, warned),) = told
    assert (
        row.first_look == f"first look, on {row.figures['tokens']:,} of {row.run.rows.tokens:,} tokens" and not warned
    )
    assert 0 < row.figures["tokens"] < row.run.rows.tokens * 0.6
    # What somebody starred is there first, with loss effects.
    assert [each.index for each in firsts] == [7] and np.isfinite(firsts[0].shown.loss_effects).any()
    # In the end all is as a pass without a look says.
    (done,) = Run.objects.get().in_order()
    assert done.sae.statistics.tokens == done.run.rows.tokens  # panels, which replace first pages
    subject, rows = subject_of(done.sae), rows_of(done.run.rows)
    looked = []
    look = rows_pass.FirstLook(100, lambda *readings: looked.append(readings))
    rows_pass.read_rows(subject, rows, training.parent / "looked", bos=done.run.rows.bos, look=look)
    ((alone, there),) = looked
    share = rows_pass.read_rows(subject, np.asarray(alone.rows), training.parent / "share", bos=done.run.rows.bos)
    assert (share.entries.counts == alone.entries.counts).all() and share.plan.tokens == alone.plan.tokens
    # Examples of the share stand where they lie in the rows.
    feature = next(each for each in single_features(there, range(8)) if each.activity.count)
    top = feature.examples.top
    hook = subject.activations(rows[int(top.rows[0])][None].astype(np.int64))[0]
    value = float(subject.sae.encode(hook)[int(top.positions[0]), feature.index])
    assert value == pytest.approx(float(top.activations[0]), rel=1e-4)
    plain = rows_pass.read_rows(subject, rows, training.parent / "plain", bos=done.run.rows.bos)
    figures = measure.with_records(measure.health_of(plain), records.records_of(done))
    assert done.figures == asdict(figures) and not done.first_look and done.measured == row.measured
    assert (records.counts_of([done])[0] == plain.entries.counts).all() and done.sae.self_check["tokens"]
