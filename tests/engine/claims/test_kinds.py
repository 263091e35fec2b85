"""Does each kind of claim say what the figures say, and does a claim that cannot be read say why?"""

from dataclasses import replace

import numpy as np
import pytest

from features.engine.ask.one_feature import OneFeature
from features.engine.claims import kinds
from features.engine.claims.words import WORDS, in_words
from features.engine.model.vocabulary import Vocabulary
from features.engine.results import ExampleGroup, ShownRows, TokenValues
from tests import made_up

TEXTS = ("a red fox", "a red hen", "the blue fox")


@pytest.fixture(scope="module")
def vocabulary(small_folder):
    return Vocabulary.load(small_folder / "model")


@pytest.fixture(scope="module")
def evidence(vocabulary):
    """A feature whose top activations are on the "d" or "e" of each colour; byte by byte, as the tokenizer cuts."""
    ids = [vocabulary.ids(text, bos=False) for text in TEXTS]
    width = max(map(len, ids))
    rows = np.array([one + [0] * (width - len(one)) for one in ids])
    before = ("a red", "a red", "the blue")
    at = np.array([len(vocabulary.ids(text, bos=False)) - 1 for text in before], np.int32)
    top = ExampleGroup(np.arange(3), at, np.array([3, 2, 1], np.float32), np.ones(3, np.int32))
    nan = np.full(3, np.nan, np.float32)
    effects = np.array([-0.5, -0.3, np.nan], np.float32)
    shown = ShownRows(np.arange(3), np.arange(4), at.astype(np.int16), top.activations, nan, effects, nan)

    def logits(*tokens):
        return TokenValues(np.array([vocabulary.tokenizer.token_to_id(token) for token in tokens], np.int32), nan)

    feature = made_up.feature(tokens=300)
    feature = replace(
        feature,
        activity=replace(feature.activity, count=3),
        examples=replace(feature.examples, top=top),
        logits=replace(feature.logits, positive=logits("x", "y", "Ġthe"), negative=logits("z", "q")),
        shown=shown,
    )
    return kinds.Evidence(feature, rows, vocabulary)


def outcome(evidence, kind, **needs):
    claim = {"kind": kind, **needs}
    assert kinds.why_unreadable(claim) == ""
    found = kinds.check_claim(claim, evidence)
    return found.holds, found.figure


@pytest.mark.parametrize("share, holds", [(0.6, True), (0.7, False)])
def test_ends_with_reads_the_text_up_to_the_token(evidence, share, holds):
    assert outcome(evidence, "ends_with", texts=["a red"], share=share) == (holds, "2 of 3 top activations")
    assert outcome(evidence, "ends_with", texts=["a red", "blue"], share=1) == (True, "3 of 3 top activations")


def test_followed_by_reads_what_comes_after_it(evidence):
    assert outcome(evidence, "followed_by", texts=[" fox"], share=0.6) == (True, "2 of 3 top activations")
    assert outcome(evidence, "followed_by", texts=["fox"], share=0.1) == (False, "0 of 3 top activations")


def test_context_reads_what_stands_before_and_not_after(evidence):
    assert outcome(evidence, "context", texts=["the "], share=0.3) == (True, "1 of 3 top activations")
    assert outcome(evidence, "context", texts=["fox"], share=0.3) == (False, "0 of 3 top activations")


def test_boosts_and_lowers_know_the_place_of_a_token(evidence):
    assert outcome(evidence, "boosts", token=" the", rank=3) == (True, "place 3")
    assert outcome(evidence, "boosts", token=" the", rank=2) == (False, "place 3")
    assert outcome(evidence, "boosts", token="z", rank=3) == (False, "not among the first 3")
    assert outcome(evidence, "lowers", token="z", rank=1) == (True, "place 1")


def test_density_lies_between(evidence):
    assert outcome(evidence, "density", between=[0.01, 0.02]) == (True, "1.000% of tokens")
    assert outcome(evidence, "density", between=[0.02, 1])[0] is False


def test_helps_is_the_mean_of_the_effects_that_are_known(evidence):
    assert outcome(evidence, "helps", nats=0.39) == (True, "0.400 nats")
    assert outcome(evidence, "helps", nats=0.41)[0] is False


def test_a_pattern_has_to_reach_an_f1_over_all_activations(evidence):
    asked = []

    def score(pattern, threshold):
        asked.append((pattern, str(threshold)))
        return OneFeature(tokens=100, held=10 if "fox" in pattern else 0, active=6, hits=4)

    evidence = replace(evidence, score=score)
    told = "F1 0.500: 4 hits, 10 tokens with it, active on 6"
    assert outcome(evidence, "pattern", pattern="fox", f1=0.5) == (True, told)
    assert outcome(evidence, "pattern", **{"from": "q0.9"}, pattern="fox", f1=0.501) == (False, told)
    assert asked == [("fox", "any"), ("fox", "q0.9")]
    with pytest.raises(kinds.Untestable, match="holds on none of 100 tokens"):
        outcome(evidence, "pattern", pattern="hen", f1=0.5)


def test_every_kind_is_told_in_words():
    texts = {"texts": ["a", "b", "c", "d", "e", "f"], "share": 0.9}
    for claim, words in (
        ({"kind": "ends_with", **texts}, "90% of its top activations end with “a”, “b”, “c”, “d” or 2 more"),
        ({"kind": "boosts", "token": "'ll", "rank": 1}, "boosts “'ll”, before all others"),
        ({"kind": "lowers", "token": " a", "rank": 4}, "lowers “ a”, among the first 4"),
        ({"kind": "density", "between": [0, 0.01]}, "fires on 0.000% to 1.000% of tokens"),
        (
            {"kind": "pattern", "pattern": "a", "from": "q0.9", "f1": 0.5},
            "goes with a, active from q0.9 on: F1 at least 0.500",
        ),
    ):
        assert in_words(claim) == words
    assert set(WORDS) == set(kinds.CLAIM_KINDS)


@pytest.mark.parametrize(
    "claim, said",
    [
        ("boosts", 'a check has a "kind"'),
        ({"kind": "praises"}, 'a check has a "kind"'),
        ({"kind": []}, 'a check has a "kind"'),
        ({"kind": "boosts", "token": "x"}, "boosts needs token and rank, nothing else"),
        ({"kind": "boosts", "token": "x", "rank": 0}, "rank of boosts does not fit: 0"),
        ({"kind": "boosts", "token": "x", "rank": True}, "rank of boosts does not fit"),
        ({"kind": "ends_with", "texts": "x", "share": 1}, "texts of ends_with does not fit"),
        ({"kind": "ends_with", "texts": [""], "share": 1}, "texts of ends_with does not fit"),
        ({"kind": "ends_with", "texts": ["x"], "share": 90}, "share of ends_with does not fit: 90"),
        ({"kind": "density", "between": [0.2, 0.1]}, "between of density does not fit"),
        ({"kind": "helps", "nats": "1"}, "nats of helps does not fit"),
        ({"kind": "pattern", "f1": 0.5}, "pattern needs pattern and f1"),
        ({"kind": "pattern", "pattern": "a and (", "f1": 0.5}, "(at character 8)"),
        ({"kind": "pattern", "pattern": 3, "f1": 0.5}, "pattern of pattern does not fit: 3"),
        ({"kind": "pattern", "pattern": "a", "f1": 2}, "f1 of pattern does not fit"),
        ({"kind": "pattern", "pattern": "a", "f1": 0.5, "from": "much"}, "'much' is no threshold"),
    ],
)
def test_a_claim_that_cannot_be_checked_says_why(claim, said):
    assert said in kinds.why_unreadable(claim)
