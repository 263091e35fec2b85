"""What do patterns of the family hold on in a corpus? Every token's text, neighbours and properties, by number.

Tokens are numbered as active entries number them. Where a property holds is asked of the engine of questions itself
(ask/holds.py), so that a description is true of the page that checks it.
"""

from dataclasses import dataclass

import numpy as np

from ..ask.grammar import parse
from ..ask.holds import PatternQuestion
from ..ask.row_text import RowText, TokenBytes
from .family import AFFIX_LENGTHS, SLOTS, Literal, affix, can_be_named, places, properties

SHARED_BY = 2  # tokens at least have an affix in common


@dataclass(frozen=True)
class TextTable:
    """Of all tokens of some rows; `labels` are the distinct texts that tokens have there, in the vocabulary's order."""

    width: int  # tokens of a row
    counted: np.ndarray  # [tokens] bool
    labels: list[str]
    slots: np.ndarray  # [3, tokens] int32: label of the token, of the one in front, of the one behind; -1: none
    bits: np.ndarray  # [tokens] uint64: which `literals` hold
    literals: list[Literal]
    affixes: list[Literal]
    affix_labels: tuple[np.ndarray, np.ndarray]  # the labels of each: offsets [affixes + 1] int64, items int32
    label_affixes: tuple[np.ndarray, np.ndarray]  # the affixes of each label, likewise
    can_be_named: np.ndarray  # [labels] bool

    @property
    def tokens(self) -> int:
        return len(self.bits)

    def in_odd_row(self, tokens: np.ndarray) -> np.ndarray:
        """[n] -> [n] bool"""
        # Tokens are numbered row after row: token // width is the row.
        return tokens // self.width % 2 == 1


def text_table(texts, tokens: TokenBytes, slug: str = "", kinds: tuple[str, ...] | None = None) -> TextTable:
    """Of blocks of rows (ask/row_text.py) of the corpus `slug`, whose documents are of these `kinds`."""
    group_of, names = _groups(tokens)
    blocks, questions, literals = [], None, []
    for text in texts:
        if questions is None:
            literals = [*(p for slot in SLOTS for p in properties(slot)), *places(text.first_position, kinds or ())]
            questions = [PatternQuestion(parse(one.pattern), tokens, one.pattern, slug, kinds) for one in literals]
        blocks.append((text.width, text.counted, _slots(text, group_of), _bits(text, questions)))
    counted, slots, bits = (np.concatenate(parts, axis=-1) for parts in list(zip(*blocks, strict=True))[1:])
    # Labels that no token has are left out: those that are there are numbered anew, in the same order.
    there = np.unique(slots[slots >= 0])
    renumbered = np.full(len(names) + 1, -1, np.int32)
    # The entry behind the last, which -1 names, stays -1.
    renumbered[there] = np.arange(len(there))
    labels = [names[group] for group in there.tolist()]
    affixes, of_affix, of_label = _affixes(labels)
    return TextTable(
        width=blocks[0][0],
        counted=counted,
        labels=labels,
        slots=renumbered[slots],
        bits=bits,
        literals=literals,
        affixes=affixes,
        affix_labels=of_affix,
        label_affixes=of_label,
        can_be_named=np.array([can_be_named(label) for label in labels], bool),
    )


def _groups(tokens: TokenBytes) -> tuple[np.ndarray, list[str]]:
    """Tokens with the same text are one label. [vocabulary + 1] int32 (-1: without text; the last: beyond), names"""
    group_of = np.full(len(tokens.labels) + 1, -1, np.int32)
    for number, ids in enumerate(tokens.ids_of.values()):
        # Ids with the same bytes are one label: which of them a tokenizer chose says nothing.
        group_of[ids] = number
    return group_of, list(tokens.ids_of)


def _slots(text: RowText, group_of: np.ndarray) -> np.ndarray:
    """[3, n] int32"""
    own = np.where(text.counted, group_of[np.minimum(text.ids, len(group_of) - 1)], -1)  # [n]
    slots = np.full((3, len(text)), -1, np.int32)
    slots[0] = own
    # Neighbours are counted tokens of the same document in the same row, as after(…) and before(…) have them.
    same = (text.text_of[1:] == text.text_of[:-1]) & text.counted[1:] & text.counted[:-1]
    slots[1, 1:] = np.where(same, own[:-1], -1)
    slots[2, :-1] = np.where(same, own[1:], -1)
    return slots


def _bits(text: RowText, questions: list[PatternQuestion]) -> np.ndarray:
    bits = np.zeros(len(text), np.uint64)
    for number, question in enumerate(questions):
        # Bit n of a token's word: whether literal n holds on it.
        bits |= question.holds(text).astype(np.uint64) << np.uint64(number)
    return bits


def _affixes(labels: list[str]):
    """Beginnings and ends that several labels have: literals, and (offsets, items) of each one's labels and the other
    way round."""
    members: dict[tuple[str, str], list[int]] = {}
    for number, label in enumerate(labels):
        for key in _affixes_of(label):
            members.setdefault(key, []).append(number)
    shared = {key: found for key, found in sorted(members.items()) if len(found) >= SHARED_BY}
    # Affixes are numbered in the order of their names, so that the same text gives the same table.
    lists = list(shared.values())
    # The same relation turned round: from each label to the affixes it has.
    back: list[list[int]] = [[] for _ in labels]
    for number, found in enumerate(lists):
        for label in found:
            back[label].append(number)
    return [affix(*key) for key in shared], _lists(lists), _lists(back)


def _affixes_of(label: str) -> set[tuple[str, str]]:
    """("ends", text) and ("begins", text), of letters and digits, in any line of the label: as $ and ^ have it."""
    found = set()
    for line in label.split("\n"):
        ends = [line[-n:] for n in AFFIX_LENGTHS["ends"] if n <= len(line)]
        begins = [line[:n] for n in AFFIX_LENGTHS["begins"] if n <= len(line)]
        found |= {("ends", text) for text in ends if text.isalnum()}
        found |= {("begins", text) for text in begins if text.removeprefix(" ").isalnum()}
    return found


def _lists(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists one behind the other: offsets [lists + 1] int64, items int32."""
    offsets = np.concatenate([[0], np.cumsum([len(items) for items in lists], dtype=np.int64)]).astype(np.int64)
    return offsets, np.array([item for items in lists for item in items], np.int32)
