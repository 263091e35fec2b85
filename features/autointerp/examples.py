"""Which examples is a language model shown, and on which is its label tried? The former lie in even rows of the text,
the latter in odd ones, so that a label that says what was shown word for word is not right for that alone."""

from dataclasses import dataclass

import numpy as np

from ..browse.feature_json import CorpusText
from ..engine.store.kept_entries import KeptEntries
from ..models import SAE
from ..storage.kept_activations import kept_of

BEFORE, AFTER = 20, 8  # tokens around an example's own
SHOWN = 12  # examples that a label is made of
HELD = 10  # held-out examples of either kind
LEAST = 5  # of either kind, for a score
TRIES = 400  # places that are drawn for each kind
STRENGTHS = 10  # of activations, as a model is told them
MARKS = "⟦⟧"


@dataclass(frozen=True)
class Drawn:
    """Of one feature. `shown`: texts with active tokens marked, and each of those with its strength from 1 to 10;
    `held`: plain texts in the order they are asked about, `fits`: on which of them it is active."""

    shown: list[dict]  # {"text", "active": [[token, strength], ...]}
    held: list[str]
    fits: list[bool]
    why_none: str = ""  # why no label can be made
    why_unscored: str = ""  # why a label cannot be tried


class ExampleSource:
    """The text of an SAE's statistics, and where its features are active."""

    def __init__(self, sae: SAE):
        """Raises NothingKept, ValueError or OSError."""
        self.kept: KeptEntries = kept_of(sae)
        self.text = CorpusText.of(sae)
        corpus = sae.statistics.corpus
        self.first, self.length = corpus.first, corpus.row_length
        self.width = self.length - self.first  # counted tokens of a row
        self.rows = self.kept.tokens // self.width

    def drawn(self, index: int, seed: int) -> Drawn:
        entries = self.kept.feature(index)
        tokens, sizes = entries.tokens.astype(np.int64), np.abs(entries.values)  # [n] ascending; [n]
        if not len(tokens):
            return Drawn([], [], [], f"It was never active on {self.kept.tokens:,} tokens.")
        places = _Places(self, tokens, sizes)
        shown = places.strongest(np.flatnonzero(places.rows % 2 == 0))
        if not shown:
            return Drawn([], [], [], "It is active in every second row of the text alone, from which no label is made.")
        random = np.random.default_rng([seed, index])
        seen = {example["plain"] for example in shown}
        positives = places.across_sizes(np.flatnonzero(places.rows % 2 == 1), seen, random)
        negatives = places.silent(seen, positives, random)
        held = [*positives, *negatives]
        order = random.permutation(len(held)).tolist()
        why = _why_unscored(len(positives), len(negatives))
        told = [{name: example[name] for name in ("text", "active")} for example in shown]
        return Drawn(told, [held[at] for at in order], [at < len(positives) for at in order], "", why)


def _why_unscored(positives: int, negatives: int) -> str:
    if positives < LEAST:
        return f"Too few held-out examples for a score: {positives} different ones, {LEAST} are needed."
    if negatives < LEAST:
        return f"Too few held-out texts for a score on which it is silent: {negatives}, {LEAST} are needed."
    return ""


class _Places:
    """Where one feature is active."""

    def __init__(self, source: ExampleSource, tokens: np.ndarray, sizes: np.ndarray):
        """tokens [n] counted tokens, ascending; sizes [n] of their activations."""
        self.source, self.tokens, self.sizes = source, tokens, sizes
        # A counted token lies in row token // width; the first of a row stands at position `first`.
        self.rows, positions = np.divmod(tokens, source.width)  # [n]
        self.positions = positions + source.first  # [n]
        self.largest = float(sizes.max())

    def strongest(self, among: np.ndarray) -> list[dict]:
        """The strongest, none near another, no text twice."""
        order = among[np.argsort(-self.sizes[among], kind="stable")]
        chosen, texts = [], set()
        for at in order[: SHOWN * 200].tolist():
            near = [other for other in chosen if self.rows[other] == self.rows[at]]
            if any(abs(int(self.positions[other] - self.positions[at])) <= BEFORE for other in near):
                continue
            plain = "".join(self._pieces(self.rows[at], self.positions[at])[1])
            if plain not in texts:
                chosen.append(at)
                texts.add(plain)
            if len(chosen) == SHOWN:
                break
        return [self._marked(at) for at in chosen]

    def across_sizes(self, among: np.ndarray, seen: set[str], random: np.random.Generator) -> dict[str, int]:
        """Text -> row: one of each tenth of the activations, no two in a row; more of others where one has none."""
        order = among[np.argsort(self.sizes[among], kind="stable")]
        tenths = [random.permutation(tenth).tolist() for tenth in np.array_split(order, HELD)]
        found: dict[str, int] = {}  # text -> row
        for _ in range(TRIES // HELD):
            for tenth in tenths:
                if tenth and len(found) < HELD:
                    at = tenth.pop()
                    text = self._plain(self.rows[at], self.positions[at])
                    if text not in seen and self.rows[at] not in found.values():
                        found.setdefault(text, int(self.rows[at]))
        return found

    def silent(self, seen: set[str], positives: dict[str, int], random: np.random.Generator) -> list[str]:
        """Places drawn evenly from odd rows that no other is in, with no activation in all the text shown of them."""
        source, found = self.source, {}  # text -> row
        for _ in range(TRIES if source.rows > 1 else 0):
            row = 2 * int(random.integers(source.rows // 2)) + 1
            position = int(random.integers(source.first, source.length))
            first, pieces = self._pieces(row, position)
            # Entries name tokens by row * width + position, those before the first counted one left out.
            low, high = (row * source.width + max(0, at - source.first) for at in (first, first + len(pieces)))
            text = "".join(pieces)
            is_silent = np.searchsorted(self.tokens, low) == np.searchsorted(self.tokens, high)
            is_new = text not in seen | {*positives, *found} and row not in (*positives.values(), *found.values())
            if is_silent and is_new and text.strip():
                found[text] = row
            if len(found) == HELD:
                break
        return list(found)

    def _pieces(self, row: int, position: int) -> tuple[int, list[str]]:
        """Where the text around a token begins, and its pieces; special tokens bound it."""
        _, pieces, special = self.source.text[int(row)]
        before = [at for at in special if at < position]
        after = [at for at in special if at > position]
        first = max(0, int(position) - BEFORE, before[-1] + 1 if before else 0)
        last = min(len(pieces), int(position) + AFTER + 1, after[0] if after else len(pieces))
        return first, pieces[first:last]

    def _plain(self, row: int, position: int) -> str:
        return "".join(self._pieces(row, position)[1])

    def _marked(self, at: int) -> dict:
        """An example with each active token between marks, which the text itself cannot have."""
        row, position = int(self.rows[at]), int(self.positions[at])
        first, pieces = self._pieces(row, position)
        start = row * self.source.width - self.source.first  # of position 0, were it counted
        low, high = np.searchsorted(self.tokens, [start + first, start + first + len(pieces)])
        low = max(low, np.searchsorted(self.tokens, row * self.source.width))
        shares = np.ceil(self.sizes[low:high] / self.largest * STRENGTHS).astype(int).tolist()
        strengths = dict(zip((self.positions[low:high] - first).tolist(), shares, strict=True))
        clean = [piece.replace(MARKS[0], "[").replace(MARKS[1], "]") for piece in pieces]
        text = "".join(f"{MARKS[0]}{piece}{MARKS[1]}" if n in strengths else piece for n, piece in enumerate(clean))
        active = [[clean[n], strength] for n, strength in strengths.items()]
        return {"text": text, "active": active, "plain": "".join(pieces)}
