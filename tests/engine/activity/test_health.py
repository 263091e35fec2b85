"""Are the figures of a dictionary's health what their definitions say, written out one by one?"""

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.activity import strongest
from features.engine.activity.health import health_and_encoders
from features.engine.activity.top_examples import TokenLayout
from features.engine.sae.sae import SAEConfig, SparseAutoencoder
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.weights import health as weights

ROWS, LENGTH, D_SAE, D_IN = 40, 13, 160, 24
SPECIAL = {0, 1}


class Subject:
    """As much of a subject as health reads."""

    def __init__(self, sae):
        self.sae, self.vocabulary = sae, type("Vocabulary", (), {"special": SPECIAL})()


@pytest.fixture(scope="module")
def rows():
    rows = np.random.default_rng(1).integers(1, 9, (ROWS, LENGTH)).astype(np.uint16)
    rows[:, 0] = 0  # BOS
    return rows


@pytest.fixture(scope="module")
def sae():
    """Half of it drifted along one direction; one column and one decoder row of zeros."""
    draw = torch.Generator().manual_seed(2)
    W_enc, W_dec = torch.randn(D_IN, D_SAE, generator=draw), torch.randn(D_SAE, D_IN, generator=draw)
    W_enc[:, ::2] += 3 * torch.randn(D_IN, 1, generator=draw)
    W_dec[1::2] += W_enc[:, 1::2].T  # the others know what they read
    W_enc[:, 7], W_dec[9] = 0, 0
    return SparseAutoencoder(SAEConfig(D_IN, D_SAE), W_enc, W_dec, torch.zeros(D_SAE), torch.zeros(D_IN))


@pytest.fixture(scope="module")
def f(rows):
    """Activations [rows, LENGTH - 1, D_SAE], none on special tokens. The first 30 features have their strongest on the
    same few tokens; the next 40 on one token, or behind one; feature 3 is rare, the last ones are dead."""
    draw = np.random.default_rng(3)
    ids, before = rows[:, 1:], rows[:, :-1]
    shape = (*ids.shape, D_SAE)
    f = draw.integers(1, 60, shape) / 64 * (draw.random(shape) < 0.15)  # equal values are met
    f[[2, 5, 11, 20, 31], 4, :30] = 2 + draw.integers(0, 3, (5, 30)) / 4
    f[..., 30:50] += 2 * (ids == 5)[..., None]
    f[..., 50:70] += 2 * (before == 6)[..., None]
    f[..., 3], f[2, 4, 3] = 0, 5.0
    f[..., -4:] = 0
    return (f * (ids > 1)[..., None]).astype(np.float32)


@pytest.fixture(scope="module")
def entries(f, tmp_path_factory):
    folder = tmp_path_factory.mktemp("entries")
    flat = f.reshape(-1, D_SAE)
    with ActiveEntriesWriter(folder) as writer:
        for first in range(0, len(flat), 5 * (LENGTH - 1)):  # chunks of five rows
            part = flat[first : first + 5 * (LENGTH - 1)]
            features, tokens = np.nonzero(part.T)
            writer.append(Chunk.of(first, len(part), D_SAE, features, tokens, part.T[features, tokens]))
    return ActiveEntries([folder])


def positions(f, drawn):
    """Of each feature: (row, position in f) one a row, strongest first; the slow, obvious way."""
    found = []
    for i in range(D_SAE):
        best = []
        for row in drawn:
            values = f[row, :, i]
            if values.any():
                best.append((-values.max(), row, int(values.argmax())))
        found.append([(row, position) for _, row, position in sorted(best)])
    return found


@pytest.mark.parametrize("tokens", [10**6, 250])
def test_swarm_and_agree_are_their_definitions(rows, f, entries, tokens):
    drawn = strongest.drawn_rows(rows, SPECIAL, tokens)
    counted = (~np.isin(rows, [0, 1])).sum(1)
    assert counted[drawn].sum() >= min(tokens, counted.sum()) > counted[drawn].sum() - LENGTH
    layout = TokenLayout(rows, 1)
    found = strongest.strongest(entries, layout, drawn)
    slow = positions(f, drawn)
    for i in range(D_SAE):
        here = found.tokens[found.features == i]
        assert [divmod(t, LENGTH - 1) for t in here.tolist()] == slow[i], i

    others = max(10, 0.0025 * sum(map(bool, slow)))
    swarm = [
        i
        for i in range(D_SAE)
        if len(slow[i]) >= 5 and sum(slow[i][0] in slow[j][:5] for j in range(D_SAE) if j != i) >= others
    ]
    assert strongest.swarm(found).tolist() == swarm and 20 < len(swarm) < 100
    agree = []
    for i in range(D_SAE):
        at = [rows[row, position + 1] for row, position in slow[i][:20]]
        before = [rows[row, position] for row, position in slow[i][:20]]
        agree += [i] * (max(max(map(ids.count, ids), default=0) for ids in (at, before)) >= 10)
    assert strongest.agreeing(found, layout).tolist() == agree and (len(agree) > 10 or tokens < 1000)


def test_without_bos_the_first_token_of_a_row_has_none_before_it():
    rows = np.arange(12 * 5).reshape(12, 5)  # every token another
    at_the_beginning = strongest.Strongest(np.zeros(12, int), np.arange(12) * 5)
    assert not len(strongest.agreeing(at_the_beginning, TokenLayout(rows, 0)))
    rows[:, 0] = 7
    assert strongest.agreeing(at_the_beginning, TokenLayout(rows, 0)).tolist() == [0]


def mean_cosine(columns):
    """Of each two."""
    alike = reference.cosine(columns, columns)
    return np.mean([float(alike[i, j]) for i in range(len(alike)) for j in range(i)])


def test_the_directions_are_their_definitions(sae, entries, rows, f):
    found, encoders = health_and_encoders(Subject(sae), entries, TokenLayout(rows, 1))
    flat = torch.from_numpy(f.reshape(-1, D_SAE)).double()
    counts = (flat != 0).sum(0).numpy()
    alive = np.flatnonzero(counts)
    columns = sae.W_enc[:, [i for i in alive if i != 7]].double()
    assert found.directions == columns.shape[1] == len(alive) - 1
    assert found.common_direction == pytest.approx(mean_cosine(columns), rel=1e-4)
    units = columns / columns.norm(dim=0)
    assert found.first_share == pytest.approx(float(torch.linalg.svdvals(units)[0] ** 2 / units.shape[1]), rel=1e-4)
    along = sae.W_enc.double().T @ torch.linalg.svd(units)[0][:, 0] / sae.W_enc.double().norm(dim=0)
    assert encoders.common.tolist() == (along.abs() > 0.5).tolist() and 0 < encoders.common.sum() < D_SAE
    assert encoders.swarm.sum() == found.swarm
    np.testing.assert_allclose(encoders.norms, sae.W_enc.norm(dim=0), rtol=1e-6)
    assert found.common_direction > 0.15 and found.common_direction_rarest is None  # of 78: too few

    cosines = [float(reference.cosine(sae.W_enc[:, [i]].double(), sae.W_dec[[i]].double().T)) for i in alive]
    cosines = np.array([cosine for cosine in cosines if cosine == cosine])
    assert found.encoder_decoder_cosine == pytest.approx(np.median(cosines), rel=1e-5)
    assert found.apart == (cosines < 0.2).sum() > 10
    counted = int((rows > 1).sum())
    assert found.rare == (counts < 1e-4 * counted).sum() == 4
    assert found.largest_l0 == (flat != 0).sum(1).max()
    assert (found.sampled_tokens, found.sampled_alive) == (counted, len(alive))


def test_the_rarest_half_has_figures_of_its_own(sae, entries, monkeypatch):
    monkeypatch.setattr(weights, "LEAST_FEATURES", 10)
    found = weights.of_weights(weights.EncoderColumns(sae, np.flatnonzero(entries.counts)), entries, 480)
    order = sorted(np.flatnonzero(entries.counts), key=lambda i: (entries.counts[i], i))
    half = [i for i in order[: len(order) // 2] if i != 7]
    expected = mean_cosine(sae.W_enc[:, half].double())
    assert found.common_direction_rarest == pytest.approx(expected, rel=1e-4)
