"""Published counts, quantiles and correlations are found again on the corpus, and wrong ones are told."""

import pytest
import torch

from features.engine import reference
from features.engine.sae.checkpoint import read_sae
from features.gelu1l.published_corpus import compare_on_corpus, part_of

from ...engine import small

PROMPT, FEATURES, ROWS = [5, 17, 40, 8, 99, 23], range(small.D_SAE), 20


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Encoder B."""
    folder = tmp_path_factory.mktemp("other")
    small.write_sae(folder, seed=8)
    return read_sae(folder)


@pytest.fixture
def published(subject, rows, other):
    """Counted one feature after another, over every token of the first rows, BOS too."""
    h = torch.cat([subject.activations(row.astype(int))[0] for row in rows[:ROWS]])
    f, g = subject.sae.encode(h).double(), other.encode(h).double()
    on_prompt = subject.sae.encode(subject.activations(PROMPT))[0].double()
    found = {"row_numbers": [0, 7], "rows": [rows[n, :9].tolist() for n in (0, 7)], "corpus_rows": ROWS}
    found |= {"prompt": PROMPT, "counts": [[i, int((f[:, i] > 0).sum())] for i in FEATURES]}
    for kind, values in (("neurons", h.double()), ("features", f), ("b", g)):
        pairs = [(i, j) for i in (0, 4, 7, 11) for j in (2, 9)]
        pearson, cosine = reference.pearson(f, values), reference.cosine(f, values)
        found[f"correlated_{kind}"] = [[i, j, float(pearson[i, j]), float(cosine[i, j])] for i, j in pairs]
    quantiles = [
        [p, i, 1e-5, float(reference.act_quantile(f[:, i], on_prompt[p, i]))]
        for p in range(len(PROMPT))
        for i in FEATURES
        if on_prompt[p, i] > 0
    ]
    assert len(quantiles) > 5
    return found | {"act_quantile": sorted(quantiles, key=lambda number: (number[0], -number[3]))}


def beyond(subject, published, rows, other):
    return {c.kind: c.beyond for c in compare_on_corpus(subject, published, rows, other) if c.beyond}


def test_numbers_of_this_corpus_are_found_again(subject, published, rows, other):
    found = compare_on_corpus(subject, published, rows, other)
    assert [c.kind for c in found] == [
        "corpus", "counts", "act_quantile", "order by act_quantile", "correlated_neurons", "correlated_features",
        "correlated_b",
    ]  # fmt: skip
    assert all(c.numbers and not c.beyond for c in found), found


CORRELATED = ["correlated_neurons", "correlated_features", "correlated_b"]


@pytest.mark.parametrize("kind", ["counts", "act_quantile", *CORRELATED])
def test_one_wrong_number_of_any_kind_is_told(subject, published, rows, other, kind):
    published[kind][1][-1] += 5 if kind == "counts" else 0.01
    assert beyond(subject, published, rows, other) == {kind: 1}


def test_another_order_by_quantile_is_told(subject, published, rows, other):
    position = max({number[0] for number in published["act_quantile"]}, key=lambda p: _spread(published, p))
    of_token = [n for n, number in enumerate(published["act_quantile"]) if number[0] == position]
    numbers = published["act_quantile"]
    numbers[of_token[0]], numbers[of_token[-1]] = numbers[of_token[-1]], numbers[of_token[0]]
    assert beyond(subject, published, rows, other) == {"order by act_quantile": 1}


def _spread(published, position):
    quantiles = [number[3] for number in published["act_quantile"] if number[0] == position]
    return max(quantiles) - min(quantiles)


def test_other_rows_are_told_and_shorter_corpora_are_not_counted_on(subject, published, rows, other):
    published["rows"][1][3] += 1
    assert beyond(subject, published, rows, other) == {"corpus": 1}
    assert [c.kind for c in compare_on_corpus(subject, published, rows[: ROWS - 1], other)] == ["corpus"]
    assert compare_on_corpus(subject, published, rows[:5], other)[0].largest == 9  # row 7 is not there at all


def test_without_encoder_b_its_numbers_are_left_out(subject, published, rows):
    assert "correlated_b" not in [c.kind for c in compare_on_corpus(subject, published, rows)]


def test_a_part_of_an_sae_has_the_activations_of_the_whole(subject, rows):
    h = subject.activations(rows[0].astype(int))[0]
    torch.testing.assert_close(part_of(subject.sae, [3, 9]).encode(h), subject.sae.encode(h)[:, [3, 9]])
