"""Where does a regular expression, a text or a phrase match in the text of rows? By RE2: in linear time, always.

Matches are found as in every tool: from left to right, none over another, the longest that the expression prefers. Ones
without a character do not count. RE2 comes with Arrow, which reads parquet here too.
"""

import re

import numpy as np

from .pattern import PatternError, Regex, Text, Words
from .row_text import RowText

# Bytes that UTF-8 never has, put in front of and behind each match. In one sweep of C++: a Python object for each of
# some hundred thousand matches would take longer than the search.
BEGINS, ENDS = 0xFE, 0xFF
# Scripts that do not part words by spaces: there a word is found wherever its characters stand.
UNPARTED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff]")


def spans(part: Text | Words | Regex, text: RowText, typed: str = "") -> tuple[np.ndarray, np.ndarray]:
    """First byte and end of each match, ascending. [matches] int64 each. Raises PatternError, which points at `part` in
    `typed`."""
    starts, ends = _spans(_source(part), text.bytes, text.offsets, typed, part.at)
    return _whole_words(part.words, starts, ends, text) if isinstance(part, Words) else (starts, ends)


def _source(part: Text | Words | Regex) -> str:
    if isinstance(part, Text):
        return _quoted(part.text)
    if isinstance(part, Words):
        return "(?i:" + r"\s+".join(map(_quoted, part.words)) + ")"
    return part.source


def _quoted(text: str) -> str:
    """An expression that matches just this text: everything but letters and digits by its code."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def _spans(source: str, data: np.ndarray, offsets: np.ndarray, typed: str, at: int) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow
    from pyarrow import compute

    marks = bytes([BEGINS]) + b"\\0" + bytes([ENDS])
    try:
        marked = compute.replace_substring_regex(_texts(data, offsets), source, marks)
    except pyarrow.ArrowInvalid as error:
        raise _unread(at, typed, error) from error
    buffer = marked.buffers()[2]
    found = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(0, np.uint8)
    # Of the marks, those of earlier matches, and a match's own first one, lie in front: so many bytes were put in.
    starts = np.flatnonzero(found == BEGINS)
    starts -= 2 * np.arange(len(starts))
    ends = np.flatnonzero(found == ENDS)
    ends -= 2 * np.arange(len(ends)) + 1
    some = starts < ends
    return starts[some], ends[some]


def check_expression(part: Regex, typed: str) -> None:
    """Raises PatternError where RE2 does not read it, or it matches where nothing is."""
    if labels_with(part, [""], typed)[0]:
        raise PatternError(
            "This expression matches where there is no character, and so everywhere. Ask for one at least: + where * "
            "stands.",
            typed,
            part.at,
        )


def labels_with(part: Regex, labels: list[str], typed: str) -> np.ndarray:
    """Which of some short texts hold a match. [n] bool"""
    import pyarrow
    from pyarrow import compute

    pieces = [label.encode() for label in labels]
    offsets = np.cumsum([0, *map(len, pieces)])
    try:
        found = compute.match_substring_regex(_texts(np.frombuffer(b"".join(pieces), np.uint8), offsets), part.source)
    except pyarrow.ArrowInvalid as error:
        raise _unread(part.at, typed, error) from error
    return np.array(found.to_pylist(), bool)


def _texts(data: np.ndarray, offsets: np.ndarray):
    """Arrow's array of the texts between offsets, without a copy (and without pandas, which `pyarrow.array` loads)."""
    import pyarrow

    buffers = pyarrow.py_buffer(offsets.astype(np.int64)), pyarrow.py_buffer(data)
    return pyarrow.LargeStringArray.from_buffers(len(offsets) - 1, *buffers)


def _unread(at: int, typed: str, error) -> PatternError:
    reason = str(error).removeprefix("Invalid regular expression: ").splitlines()[0].rstrip(".")
    return PatternError(f"RE2 cannot read this expression: {reason}.", typed, at)


# Whole words. RE2's own \b knows ASCII alone: it would part "caf" from "café".


def _whole_words(words, starts, ends, text: RowText) -> tuple[np.ndarray, np.ndarray]:
    """Those of the matches that go on to neither side."""
    whole = np.ones(len(starts), bool)
    which = np.searchsorted(text.offsets, starts, side="right") - 1  # the text that each match is in
    if _of_word(words[0][0]):
        whole &= ~_letters(text.bytes, starts, text.offsets[which], before=True)
    if _of_word(words[-1][-1]):
        whole &= ~_letters(text.bytes, ends, text.offsets[which + 1], before=False)
    return starts[whole], ends[whole]


def _of_word(character: str) -> bool:
    """Of a word, in a script that parts words: a comma is of none."""
    is_mark = not character.isalnum() and ("\u0300" <= character <= "\u036f")
    return (character.isalnum() or character == "_" or is_mark) and not UNPARTED.match(character)


ASCII_WORD = np.array([_of_word(chr(code)) for code in range(128)])


def _letters(data: np.ndarray, at: np.ndarray, limits: np.ndarray, before: bool) -> np.ndarray:
    """Whether a letter, digit, _ or accent stands directly before (behind) a byte, within its text. [n] bool"""
    inside = at > limits if before else at < limits
    neighbour = np.where(inside, at - 1 if before else at, 0)
    found = inside & ASCII_WORD[np.minimum(data[neighbour], 127)] & (data[neighbour] < 128)
    for n in np.flatnonzero(inside & (data[neighbour] >= 128)).tolist():
        # A character has four bytes at most.
        if before:
            nearby = data[max(limits[n], at[n] - 4) : at[n]].tobytes().decode("utf-8", "ignore")[-1:]
        else:
            nearby = data[at[n] : min(limits[n], at[n] + 4)].tobytes().decode("utf-8", "ignore")[:1]
        found[n] = bool(nearby) and _of_word(nearby)
    return found
