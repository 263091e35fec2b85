"""Which bytes of a text lie inside brackets, quotes or code? Followed by an automaton that begins anew with each text.

Each kind of mark is followed on its own; what is not closed in the same text is not inside, and the marks themselves
are not. Code is what lies between two lines that begin with ```, or within a line between two single `.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np

ROUND, SQUARE, CURLY = ("(", ")"), ("[", "]"), ("{", "}")
QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"))
MARKS = {
    "brackets": (ROUND, SQUARE, CURLY),
    "round": (ROUND,),
    "square": (SQUARE,),
    "curly": (CURLY,),
    "quotes": QUOTES,
    "code": (),
}
FENCE = re.compile(rb"^[ \t]*```", re.MULTILINE)
TICKS = re.compile(rb"`+")


def inside(text: np.ndarray, offsets: np.ndarray, marks: str) -> np.ndarray:
    """Bytes that lie inside of these marks. text [bytes] uint8, the n-th from offsets[n] to offsets[n + 1] -> bool"""
    changes = np.zeros(len(text) + 1, np.int32)
    spans = _code(text, offsets) if marks == "code" else _all_pairs(text, offsets, MARKS[marks])
    for first, end in spans:
        changes[first] += 1
        changes[end] -= 1
    # One is inside as long as more spans have begun than have ended.
    return changes[:-1].cumsum() > 0


def _all_pairs(text, offsets, pairs) -> Iterator[tuple[int, int]]:
    data = text.tobytes()
    for opening, closing in pairs:
        yield from _pairs(data, offsets, opening.encode(), closing.encode())


def _pairs(data: bytes, offsets, opening: bytes, closing: bytes) -> Iterator[tuple[int, int]]:
    """(first byte inside, its end) of each pair of one kind; the marks of another kind are text."""
    marks = [(match.start(), match[0]) for match in re.finditer(_either(opening, closing), data)]
    for found in _by_text(marks, offsets):
        open_at: list[int] = []
        for at, mark in found:
            # Straight quotes open and close by turns; of other marks each has one meaning.
            if mark == closing and (open_at or opening != closing):
                if open_at:
                    yield open_at.pop(), at
            else:
                open_at.append(at + len(mark))


def _either(opening: bytes, closing: bytes) -> bytes:
    return b"|".join(map(re.escape, {opening, closing}))


def _by_text(marks: list[tuple[int, bytes]], offsets) -> Iterable[list[tuple[int, bytes]]]:
    """The marks of each text that has any."""
    # Marks ascend, so those of one text stand together: cut where the text's number changes.
    texts = np.searchsorted(offsets, [at for at, _ in marks], side="right")
    cuts = np.flatnonzero(np.diff(texts)) + 1
    return (marks[first:end] for first, end in zip([0, *cuts], [*cuts, len(marks)], strict=True))


def _code(text, offsets) -> Iterator[tuple[int, int]]:
    data = text.tobytes()
    # Texts without a single ` are not looked at.
    with_ticks = np.unique(np.searchsorted(offsets, np.flatnonzero(text == ord("`")), side="right")) - 1
    for number in with_ticks.tolist():
        first, end = int(offsets[number]), int(offsets[number + 1])
        yield from ((first + a, first + b) for a, b in _code_of(data[first:end]))


def _code_of(text: bytes) -> Iterator[tuple[int, int]]:
    fences = [match.start() for match in FENCE.finditer(text)]
    # Fences open and close by turns; where their number is odd, the last one encloses nothing.
    bounds, outside = list(zip(fences[::2], fences[1::2], strict=False)), 0
    for opening, closing in [*bounds, (len(text), len(text))]:
        yield from _ticked(text, outside, opening)
        begins = text.find(b"\n", opening) + 1  # what stands behind the fence names the language
        if 0 < begins <= closing:
            yield begins, closing
        outside = text.find(b"\n", closing) if b"\n" in text[closing:] else len(text)


def _ticked(text: bytes, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Between two equally long runs of ` in one line; runs of another length between them are text."""
    runs = [match.span() for match in TICKS.finditer(text, first, end)]
    closing, seen = [0] * len(runs), {}
    for n in reversed(range(len(runs))):
        length = runs[n][1] - runs[n][0]
        later = seen.get(length, 0)
        # 0: none, since no run closes itself or one behind it.
        closing[n] = later if later and text.find(b"\n", runs[n][1], runs[later][0]) < 0 else 0
        seen[length] = n
    n = 0
    while n < len(runs):
        if closing[n]:
            yield runs[n][1], runs[closing[n]][0]
        n = closing[n] + 1 if closing[n] else n + 1
