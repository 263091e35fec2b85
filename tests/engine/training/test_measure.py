"""Figures of a checkpoint against the slow obvious way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.sae.sae import SparseAutoencoder
from features.engine.training import measure, rows_pass
from features.engine.training.record import BOS_ONLY, ONE_POSITION, ONE_TOKEN

from .. import small


@pytest.fixture(scope="module")
def read(subject, tmp_path_factory):
    rows = small.corpus_rows(subject.vocabulary.size)
    return rows_pass.read_rows(subject, rows, tmp_path_factory.mktemp("pass"), bos=True)


@pytest.fixture(scope="module")
def dense(read):
    """Activations of every position behind BOS, special ones zero. [rows, length - 1, d_sae]"""
    subject = read.subject
    acts = subject.sae.encode(subject.activations(read.rows.astype(np.int64)))[:, 1:].numpy()
    acts[np.isin(read.rows[:, 1:], sorted(subject.vocabulary.special))] = 0
    return acts


def test_figures_are_those_of_all_activations(read, dense):
    figures = measure.health_of(read)
    counted = ~np.isin(read.rows[:, 1:], sorted(read.subject.vocabulary.special))
    l0 = (dense > 0).sum(-1)[counted]
    assert figures.tokens == counted.sum() and figures.l0 == pytest.approx(l0.mean())
    assert figures.l0_quantiles[2] == np.median(l0) and figures.l0_quantiles[-1] == l0.max()
    assert sum(figures.l0_histogram["counts"]) == len(l0)
    assert sum(figures.density_histogram) == ((dense > 0).sum((0, 1)) > 0).sum()
    assert 0 < figures.l0_margin < figures.l0 and figures.loss_recovered is not None


def test_records_are_those_of_each_feature(read, dense):
    counts, records = measure.records_of(read)
    flat = dense.reshape(-1, dense.shape[-1])
    assert counts.tolist() == (flat > 0).sum(0).tolist()
    assert records["maximum"] == pytest.approx(flat.max(0))
    assert measure.decoder_cosines(read.subject.sae, read.subject.sae) == pytest.approx(np.ones(len(records)))
    unit = torch.nn.functional.normalize(read.subject.sae.W_dec, dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-2).max(1).values
    assert records["nearest"] == pytest.approx(cosines.numpy(), abs=2e-3)
    width = dense.shape[1]
    for feature in np.flatnonzero(counts)[:10]:
        best = dense[:, :, feature].max(1)  # [rows]
        order = np.argsort(-best, kind="stable")[: min(20, (best > 0).sum())]
        tokens = [row * width + int(dense[row, :, feature].argmax()) for row in order]
        assert set(records["tops"][feature].tolist()) == set(tokens)


def test_one_token_one_position_and_bos_alone_are_flagged(read, dense):
    counts, records = measure.records_of(read)
    ids = read.rows[:, 1:].ravel()
    for feature, count in enumerate(counts):
        where = np.flatnonzero(dense.reshape(-1, dense.shape[-1])[:, feature])
        tokens = np.bincount(ids[where]).max() / count >= 0.9 if count >= 20 else False
        places = np.bincount(where % dense.shape[1]).max() / count >= 0.9 if count >= 20 else False
        assert bool(records["flags"][feature] & ONE_TOKEN) == tokens
        assert bool(records["flags"][feature] & ONE_POSITION) == places
        assert not records["flags"][feature] & BOS_ONLY or count == 0
    figures = measure.with_records(measure.CheckpointFigures(), records)
    assert figures.one_token == (records["flags"] & ONE_TOKEN != 0).sum()


def test_maximum_and_mean_of_activations_with_a_sign_are_of_sizes(subject, tmp_path):
    sae = subject.sae
    config = replace(sae.config, activation="abstopk", k=6)
    signed = replace(subject, sae=SparseAutoencoder(config, *sae._weights()))
    rows = small.corpus_rows(subject.vocabulary.size)
    found = rows_pass.read_rows(signed, rows, tmp_path, bos=True)
    f = signed.sae.encode(signed.activations(rows.astype(np.int64)))[:, 1:].numpy()
    sizes = np.abs(f[~np.isin(rows[:, 1:], sorted(subject.vocabulary.special))])  # [tokens, d_sae]
    _, records = measure.records_of(found)
    assert (f < 0).any()
    assert records["maximum"] == pytest.approx(sizes.max(0), rel=1e-3)
    mean = sizes.sum(0) / np.maximum(1, (sizes > 0).sum(0))
    assert records["mean"] == pytest.approx(mean, rel=1e-3)


def test_the_first_position_of_a_row_is_the_first_that_counts(subject, tmp_path):
    rows = small.corpus_rows(subject.vocabulary.size)
    rows[::2, 1] = 1  # a document ended just there: EOS behind BOS
    shares = measure.health_of(rows_pass.read_rows(subject, rows, tmp_path, bos=True))
    rows = rows[: measure.VARIANCE_ROWS]
    counted = ~np.isin(rows, sorted(subject.vocabulary.special))
    is_first = np.zeros_like(counted)
    is_first[np.arange(len(rows)), counted.argmax(1)] = True
    h = subject.activations(rows.astype(np.int64))[counted].double()
    again = subject.sae.decode(subject.sae.encode(h.float())).double()
    first, _, rest = reference.variance_shares(h, again, torch.from_numpy(is_first[counted]))
    assert shares.variance_first == pytest.approx(float(first), rel=1e-4)
    assert shares.explained_without == pytest.approx(float(rest), rel=1e-3)


def test_a_bar_holds_what_its_list_holds_also_where_all_norms_are_1():
    rng = np.random.default_rng(0)
    for values in (1 + 1e-8 * rng.standard_normal(300), rng.uniform(0.2, 3, 300), np.ones(5)):
        values = measure._as_stored(values)
        found = measure._histogram(values)
        bars = zip(found["edges"], found["edges"][1:], found["counts"], strict=False)
        assert all(((values >= low) & (values < high)).sum() == count for low, high, count in bars)
        assert sum(found["counts"]) == len(values)
