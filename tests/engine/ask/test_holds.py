"""A pattern holds where a slow and obvious search says, in texts with every kind of mark and character."""

import re

import numpy as np
import pytest
import torch

from features.engine import reference_questions
from features.engine.ask.grammar import parse
from features.engine.ask.holds import PatternQuestion
from features.engine.ask.pattern import PatternError
from features.engine.ask.row_text import TokenBytes, row_texts
from tests.engine.ask import dense


@pytest.fixture(scope="module")
def vocabulary():
    return dense.vocabulary()


@pytest.fixture(scope="module")
def rows(vocabulary):
    return dense.corpus_rows(vocabulary)


@pytest.fixture(scope="module")
def text(vocabulary, rows):
    return dense.text_of(vocabulary, rows)


@pytest.fixture(scope="module")
def ask(vocabulary, text):
    tokens = TokenBytes(vocabulary)
    return lambda typed: PatternQuestion(parse(typed), tokens, typed, corpus="demo").holds(text)


def searched(text, expression, flags=0, touch=False):
    """By Python's re, text by text: its \\b and \\w know all letters."""
    found, data, starts = np.zeros(len(text), bool), text.bytes.tobytes(), text.ends - np.diff(text.ends, prepend=0)
    for first, end in zip(text.offsets, text.offsets[1:], strict=False):
        part = data[first:end].decode(errors="surrogateescape")
        for match in re.finditer(expression, part, flags | re.MULTILINE):
            begins, ends = (first + len(part[:at].encode(errors="surrogateescape")) for at in match.span())
            spans = (torch.tensor([begins]), torch.tensor([ends]))
            tokens = torch.from_numpy(starts), torch.from_numpy(text.ends)
            if touch:
                found |= reference_questions.touched(*spans, *tokens).numpy()
            else:
                found |= reference_questions.ends_in(spans[1], tokens[1]).numpy()
    return found & text.counted


def test_the_rows_are_text_as_a_reader_sees_it(text, vocabulary, rows):
    pieces = ["" if id in vocabulary.special else vocabulary.bytes_of(id) for id in rows[:, 1:].ravel()]
    assert text.bytes.tobytes() == b"".join(piece for piece in pieces if piece)
    assert text.counted.sum() == sum(bool(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("typed", "expression", "flags"),
    [
        ("cat", r"\bcat\b(?!\u0301)", re.I),  # with an accent it is another word
        ("the CAT", r"\bthe\s+cat\b", re.I),
        ("thé", r"\bthé\b", re.I),
        ('"the"', "the", 0),
        ('"(a "', r"\(a ", 0),
        ('"é"', "é", 0),
        (r"/\d{4}/", r"\d{4}", 0),
        ("/T[a-z]+/i", "t[a-z]+", re.I),
        ("/^[A-Z]/", "^[A-Z]", 0),
        ("/t$/", "t$", 0),
        (r"/cat.*?the/s", "cat.*?the", re.S),
        ("/(a|b|ab)(c|bcd)?(d*)/", "(a|b|ab)(c|bcd)?(d*)", 0),
        ("/./", "[^\n\udc80-\udcff]", 0),  # pieces of a character that the end of a row cut are none
    ],
)
def test_text_words_and_expressions_hold_where_a_match_ends_or_touches(ask, text, typed, expression, flags):
    expected = searched(text, expression, flags)
    assert expected.any()
    np.testing.assert_array_equal(ask(typed), expected)
    np.testing.assert_array_equal(ask(f"touch({typed})"), searched(text, expression, flags, touch=True))


def test_a_word_does_not_end_before_an_accented_letter(ask, text):
    assert "café" in text.bytes.tobytes().decode() and "été" in text.bytes.tobytes().decode()
    assert not ask("caf").any() and not ask("t").any()


def test_a_script_without_spaces_has_its_words_anywhere(ask, text):
    np.testing.assert_array_equal(ask("的"), searched(text, "的"))
    assert ask("的").any()


def test_tokens_are_named_by_their_text_an_expression_or_their_id(ask, text, vocabulary):
    labels = np.array([vocabulary.label(id) if id not in vocabulary.special else "" for id in text.ids])
    np.testing.assert_array_equal(ask('token(" the", ",")'), np.isin(labels, [" the", ","]))
    np.testing.assert_array_equal(ask("token(/t$/)"), [label.endswith("t") for label in labels])
    the = vocabulary.ids(" the", bos=False)[0]
    np.testing.assert_array_equal(ask(f"id({the}, 1)"), text.ids == the)  # 1 is EOS, and never counted


@pytest.mark.parametrize(("typed", "before", "after"), [("after", 3, 0), ("before", 0, 3), ("near", 3, 3)])
def test_what_is_beside_is_counted_in_tokens_of_one_text(ask, text, typed, before, after):
    inner = torch.from_numpy(ask("cat"))
    number = torch.from_numpy(text.text_of)
    for distance in (1, 3, 1000):
        distances = [distance if side else 0 for side in (before, after)]
        expected = reference_questions.beside(inner, number, *distances).numpy() & text.counted
        np.testing.assert_array_equal(ask(f"{typed}(cat, {distance})"), expected)
    np.testing.assert_array_equal(ask(f"{typed}(cat)"), ask(f"{typed}(cat, 1)"))


def test_positions_are_those_of_pages_and_documents_begin_behind_eos(ask, text):
    number = np.arange(len(text)) % text.width
    np.testing.assert_array_equal(ask("position(1)"), (number == 0) & text.counted)
    np.testing.assert_array_equal(ask("position(3..5)"), (number >= 2) & (number <= 4) & text.counted)
    starts = np.flatnonzero(ask("document(0)"))
    assert all(at % text.width == 0 or not text.counted[at - 1] for at in starts)
    assert len(starts) == len(text.text_starts)
    assert (ask("document(0..)") == text.counted).all()


def test_not_and_or_are_of_counted_tokens(ask, text):
    a, b = ask("cat"), ask('"the"')
    np.testing.assert_array_equal(ask('cat and not "the"'), a & ~b)
    np.testing.assert_array_equal(ask('not (cat or "the")'), ~(a | b) & text.counted)
    assert (ask("corpus(demo)") == text.counted).all() and not ask("corpus(other)").any()


@pytest.mark.parametrize(
    ("marks", "written", "inside"),
    [
        ("round", "a (b (c) d) e) f (g", ["b ", "(", "c", ")", " d"]),
        ("brackets", "[a (b] c) {d} e", ["a (b", "] c", "d"]),
        ("quotes", 'x "y" z "w" “v “u” „t“ «s» "r', ["y", "w", "u", "t", "s"]),
        ("code", "a `b` c\n```py\nd\n```\ne ``f`g`` `h\ni`", ["b", "d\n", "f`g"]),
        ("code", "```\nnever closed `x`", ["x"]),
        ("square", "no marks at all", []),
    ],
)
def test_inside_is_what_is_closed_in_the_same_text(marks, written, inside):
    from features.engine.ask.enclosed import inside as is_inside

    data = [written.encode(), b"(", b")", b"`", b"`"]
    offsets = np.cumsum([0, *map(len, data)])
    found = is_inside(np.frombuffer(b"".join(data), np.uint8), offsets, marks)
    letters = [chr(c) for c, is_in in zip(data[0], found, strict=False) if is_in and chr(c).isalnum()]
    assert letters == [c for c in "".join(inside) if c.isalnum()]
    assert not found[offsets[1] :].any()  # a mark of one text closes none of another


def test_a_token_is_inside_whose_last_character_is(ask, text, vocabulary):
    found = [vocabulary.label(id) for id in text.ids[ask("inside(round)")]]
    assert "".join(found[:9]).startswith("a small cat") or "a" in found[0]
    assert ask("inside(code)").any() and ask("inside(quotes)").any()


def test_blocks_of_rows_change_nothing(vocabulary, rows, ask, monkeypatch):
    from features.engine.ask import row_text

    monkeypatch.setattr(row_text, "BLOCK_TOKENS", 50)
    typed = "near(cat, 2) or inside(quotes) or document(1)"
    tokens = TokenBytes(vocabulary)
    question = PatternQuestion(parse(typed), tokens, typed)
    parts = [question.holds(text) for text in row_texts(rows, 1, tokens)]
    assert len(parts) > 5
    np.testing.assert_array_equal(np.concatenate(parts), ask(typed))


def test_rows_of_any_ids_are_asked(vocabulary):
    """No text comes to these: bytes that are no UTF-8, ids that no token has, rows of special tokens alone."""
    rows = np.random.default_rng(0).integers(0, vocabulary.size + 9, (40, 16)).astype(np.uint16)
    rows[3], rows[:, 5], rows[:, 6] = 1, _id_of(vocabulary, 0xFF), _id_of(vocabulary, 0xFE)
    tokens = TokenBytes(vocabulary)
    for part in (rows, rows[3:4], rows[:0]):
        for typed in ("/[a-z]/", "e", "inside(brackets)", "near(/e/, 3)", "touch(/./s)"):
            found = [PatternQuestion(parse(typed), tokens).holds(text) for text in row_texts(part, 0, tokens)]
            assert sum(map(len, found)) == part.size
            assert (
                typed != "/[a-z]/"
                or found == []
                or found[0].tolist()
                == [
                    any("a" <= c <= "z" for c in vocabulary.bytes_of(id).decode("latin1"))
                    and id not in vocabulary.special
                    for id in part.ravel().tolist()
                ]
            )


def _id_of(vocabulary, byte):
    return next(id for id in range(vocabulary.size) if vocabulary.bytes_of(id) == bytes([byte]))


@pytest.mark.parametrize(
    ("typed", "at", "said"),
    [
        ("cat or /a(b/", 7, r"RE2 cannot read this expression: missing \)"),
        ("/(a*)*$|b*/", 0, "matches where there is no character"),
        (r"cat and /(a)\1/", 8, "RE2 cannot read this expression: invalid escape sequence"),
        ('token("the cat")', 6, 'No token is "the cat"; this text is made of "the", " cat"'),
        ("id(1, 99999)", 0, "ids go to 8,191"),
        ("kind(code)", 0, "does not know what kinds of documents"),
    ],
)
def test_what_a_corpus_cannot_answer_points_at_its_place(ask, typed, at, said):
    with pytest.raises(PatternError, match=said) as caught:
        ask(typed)
    assert caught.value.at == at


def test_documents_and_kinds_come_from_the_table_of_the_corpus(vocabulary, rows):
    class Table:
        """Of two documents, the second from the 30th place on; in front of the third place nothing is known."""

        entries = {"start": np.array([3, 30], np.uint64)}

        def documents_of(self, places):
            return np.searchsorted([3, 30], places, side="right") - 1

        def kinds_of(self, places):
            return self.documents_of(places)

    tokens = TokenBytes(vocabulary)
    (text,) = row_texts(rows, 1, tokens, Table())
    places = np.arange(rows.size).reshape(rows.shape)[:, 1:].ravel()

    def ask(typed):
        return PatternQuestion(parse(typed), tokens, typed, kinds=("prose", "code")).holds(text)

    np.testing.assert_array_equal(ask("kind(prose)"), (places >= 3) & (places < 30) & text.counted)
    np.testing.assert_array_equal(ask("kind(code)"), (places >= 30) & text.counted)
    assert places[ask("document(0)")].tolist()[-2:] == [3, 30]
    # A row further on the document goes on; its BOS is no token of it.
    assert places[ask("document(20)")].tolist()[-1] == 30 + 20 + 1
    with pytest.raises(PatternError, match='kind "verse"; there are prose, code'):
        ask("kind(verse)")
