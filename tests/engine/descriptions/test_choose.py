"""A description is the pattern that a slow search over all simple ones finds, and Ask counts the same with it."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from features.engine import reference_questions as reference
from features.engine.ask.grammar import parse
from features.engine.ask.holds import PatternQuestion
from features.engine.ask.pattern import All, Beside, Not, Tokens
from features.engine.ask.row_text import TokenBytes, row_texts
from features.engine.descriptions import choose, family
from features.engine.descriptions.text_table import text_table
from tests.engine.ask import dense as made

KINDS = [0, 2, 3, 4, 5]  # of activations in made.py: dead, with signs, too rare, two that are equal
DOCUMENTS = [
    "He can't get that hot pot, but it is not art: what fat rat sat at the kit, shut it out, yet let it set.",
    "She went, and told (the old man) of it. 12 of 34: the cat, the end, and “the door” of the day.\n",
]
MADE_UP = (  # patterns that features are made of, with chance on top
    "token(/t$/) and not before(token(/^ [a-z]/))",
    "token(/t$/)",
    'token(" the", ",", " it")',
    "after(token(/,/)) and token(/^ [a-z]/)",
    "before(token(/\\n/))",
)


@pytest.fixture(scope="module")
def corpus():
    """Tokens' bytes, text, and activations of those of made.py and of ones that go with patterns."""
    vocabulary = made.vocabulary()
    rows = made.corpus_rows(vocabulary, [*made.DOCUMENTS[:6], *DOCUMENTS * 4])
    tokens = TokenBytes(vocabulary)
    (text,) = row_texts(rows, 1, tokens)
    rng, columns = np.random.default_rng(7), [made.activations(text)[:, KINDS]]
    for pattern in MADE_UP:
        held = PatternQuestion(parse(pattern), tokens).holds(text)
        noisy = (held & (rng.random(len(text)) < 0.8)) | (rng.random(len(text)) < 0.02)
        columns.append((noisy & text.counted)[:, None] * np.float32(-1 if pattern == MADE_UP[1] else 2))
    return tokens, text, np.concatenate(columns, axis=1)


@pytest.fixture(scope="module")
def table(corpus):
    tokens, text, _ = corpus
    return text_table([text], tokens)


@pytest.fixture(scope="module")
def found(corpus, table, tmp_path_factory):
    return choose.descriptions(made.keep(corpus[2], tmp_path_factory.mktemp("kept")), table)


def slow_slots(text, tokens, on):
    """{label: where it is} of the token, of the one in front, of the one behind; over the tokens `on`."""
    labels = [tokens.labels[id] if counted else "" for id, counted in zip(text.ids, text.counted, strict=True)]
    slots = []
    for step in (0, -1, 1):
        beside = [""] * len(labels)
        for t in np.flatnonzero(text.counted).tolist():
            if 0 <= t + step < len(labels) and text.text_of[t + step] == text.text_of[t]:
                beside[t] = labels[t + step]
        there = [label for label in tokens.ids_of if label in set(beside) and len(label) <= 60]
        slots.append({label: torch.tensor([label == each for each in beside])[on] for label in there})
    return slots


def asked(kind, names):
    """A condition of the slow search as parts_of has one."""
    if kind in (0, 1, 2):
        return kind, frozenset(names)
    (part,) = parts_of(parse(names))
    return ("not", part) if kind == "not" else part


def parts_of(part):
    """The conditions of a pattern: texts with the slot they are looked for in, anything else as it was read."""
    if isinstance(part, All):
        return set().union(*map(parts_of, part.parts))
    if isinstance(part, Not):
        return {("not", each) for each in parts_of(part.inner)}
    slot = (1 if part.before else 2) if isinstance(part, Beside) else 0
    tokens = part.inner if slot else part
    if isinstance(tokens, Tokens) and tokens.texts:
        return {(slot, frozenset(text.text for text in tokens.texts))}
    if isinstance(tokens, Tokens):
        return {(slot, tokens.expressions[0].source)}
    return {replace(part, at=0)}


@pytest.fixture(scope="module")
def slow(corpus, table):
    tokens, text, dense = corpus
    on = text.counted & (np.arange(len(text)) // text.width % 2 == 0)
    asked = [
        {one.pattern: torch.from_numpy(PatternQuestion(parse(one.pattern), tokens).holds(text)[on]) for one in literals}
        for literals in (table.affixes, table.literals)
    ]
    slots = slow_slots(text, tokens, on)
    search = lru_cache(lambda active: reference.description(torch.tensor(active), slots, *asked))
    return [search(tuple((f != 0)[on].tolist())) for f in dense.T]


def test_it_is_the_one_that_a_slow_search_finds(found, slow, table, corpus):
    for description, (f1, conditions), f in zip(found, slow, corpus[2].T, strict=True):
        if (f != 0).sum() < family.LEAST_ACTIVATIONS:
            assert description is None
            continue
        assert description.chosen_f1 == f1
        assert parts_of(parse(description.pattern)) == {asked(*condition) for condition in conditions}
    assert {len(conditions) for _, conditions in slow} >= {1, 2}
    kinds = {kind for _, conditions in slow for kind, _ in conditions}
    assert kinds >= {0, 1, 2, "affix", "is", "not"}, kinds


def test_ask_counts_the_same_on_odd_rows(found, corpus):
    tokens, text, dense = corpus
    odd = np.arange(len(text)) // text.width % 2 == 1
    described = [index for index, description in enumerate(found) if description]
    assert len(described) == len(dense.T) - 2
    for index in described:
        one, a = found[index], dense[:, index] != 0
        held = PatternQuestion(parse(one.pattern), tokens, one.pattern).holds(text)
        assert (one.held, one.hits, one.active) == ((held & odd).sum(), (held & a & odd).sum(), (a & odd).sum())
        on = text.counted & odd
        scores = reference.pattern_scores(*(torch.from_numpy(x[on]) for x in (dense[:, index].astype(float), a, held)))
        for name in ("f1", "precision", "recall"):
            assert getattr(one, name) == pytest.approx(float(scores[name]), nan_ok=True), (name, one)


def test_words_say_what_the_pattern_asks(found):
    said = {one.pattern: one.words for one in found if one}
    assert said["token(/t$/)"] == "on tokens that end with “t”"
    assert said['token(/^ \\p{Ll}/) and after(token(","))'] == "on a word in small letters after “,”"
    assert any(words.startswith("on tokens that end with “t”, not ") for words in said.values())


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\t\x00", " é\xa0", "\\n", "/", "a\u200bb", "”"])
def test_every_text_is_written_as_the_grammar_reads_it(text):
    assert parse(family.named("on", [text]).pattern).texts[0].text == text
    assert parse(family.named("before", [text, "x"]).pattern).inner.texts[0].text == text
    assert parse(family.places(1, (text,))[-1].pattern).names == (text,)


def test_words_stay_short_and_show_what_cannot_be_seen():
    assert family.named("on", ["\n", "a\u200b", "x" * 40, " b", "c", "d"]).words == (
        "on “⏎”, “a⟨U+200B⟩”, “" + "x" * 23 + "…”, “·b” or 2 more"
    )
