"""A pattern is read as its grammar says, and an error points at its place."""

import pytest

from features.engine.ask.grammar import parse
from features.engine.ask.pattern import (
    All,
    Beside,
    Ids,
    InCorpus,
    Inside,
    Kind,
    Not,
    PatternError,
    Position,
    Regex,
    Some,
    Text,
    Tokens,
    Touched,
    Words,
)


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("there are 2 cats", Words(0, ("there", "are", "2", "cats"))),
        (r'" \"the\"\n\x41"', Text(0, ' "the"\nA')),
        (r"/a\/b$/is", Regex(0, "(?mis)a/b$")),
        ("/a/ and not b or c", Some(0, (All(0, (Regex(0, "(?m)a"), Not(8, Words(12, ("b",))))), Words(17, ("c",))))),
        ("(a or b) and c", All(0, (Some(1, (Words(1, ("a",)), Words(6, ("b",)))), Words(13, ("c",))))),
        ('token(" I", /ing$/)', Tokens(0, (Text(6, " I"),), (Regex(12, "(?m)ing$"),))),
        ("id(40, 41)", Ids(0, (40, 41))),
        ('after(",")', Beside(0, Text(6, ","), 1, 0)),
        ("BEFORE(x, 5)", Beside(0, Words(7, ("x",)), 0, 5)),
        ("near(x or y, 12)", Beside(0, Some(5, (Words(5, ("x",)), Words(10, ("y",)))), 12, 12)),
        ("position(1)", Position(0, False, 1, 1)),
        ("position(0..9)", Position(0, False, 0, 9)),
        ("document(10..)", Position(0, True, 10, None)),
        ('kind(code, "King James")', Kind(0, ("code", "King James"))),
        ("corpus(demo)", InCorpus(0, ("demo",))),
        ("inside(quotes)", Inside(0, "quotes")),
        (r"touch(/\d+/)", Touched(0, Regex(6, r"(?m)\d+"))),
    ],
)
def test_what_is_typed_is_read_as(typed, part):
    assert parse(typed) == part


@pytest.mark.parametrize(
    ("typed", "at", "said"),
    [
        ("  ", 2, "is empty"),
        ("a and", 5, "the pattern ends"),
        ("a or or b", 5, "'or' stands here"),
        ('a and "b', 6, 'text that begins with " here is not closed'),
        ("and/or", 0, "'and' stands here"),
        ("a /b", 2, "expression that begins with / here is not closed"),
        ("(a or (b)", 0, "bracket that opens here is not closed"),
        ("a)", 1, r"Here stands '\)'"),
        ('"a" "b"', 4, "go on with and, or"),
        ("aftr(x)", 0, r"Did you mean after\(…\)\?"),
        ("zzzz(x)", 0, "There are token, id"),
        ("after(x, y)", 9, "whole number, not 'y'"),
        ("after(x, 0)", 9, "from 1 to 100,000"),
        ("a and token(I)", 12, 'stands in quotes: "I"'),
        ("position(9..1)", 9, "No position is from 9 to 1"),
        ("inside(house)", 7, "brackets, round"),
        (r'"a\q"', 2, r"\\q stands for nothing"),
        ("/a/x", 0, "no flag 'x'"),
        ("//", 0, "no expression"),
        ('""', 0, "nothing between the quotes"),
        ("(" * 50 + "a", 40, "More than 40 brackets"),
        ("not " * 50 + "a", 164, "More than 40 brackets"),
        ("a" * 2001, 2000, "2,000 are read"),
    ],
)
def test_an_error_points_at_its_place(typed, at, said):
    with pytest.raises(PatternError, match=said) as caught:
        parse(typed)
    assert caught.value.at == at, caught.value.pointed()
    assert caught.value.pointed().splitlines()[-1] == " " * at + "^"
