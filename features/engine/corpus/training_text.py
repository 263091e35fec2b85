"""On what text was an SAE trained, as its files say, and what of that does not hold for the rows it is read on here?"""

from dataclasses import dataclass

from ..model.vocabulary import Vocabulary
from .token_rows import LENGTH


@dataclass(frozen=True)
class TrainingText:
    """What the files say of the sequences of the training; None where they are silent."""

    context: int | None = None  # tokens of a sequence
    first: int = 0  # positions from which on, and in front of which, activations were learnt (SAELens's seqpos_slice)
    end: int | None = None
    bos: bool | None = None

    @classmethod
    def of(cls, subject: dict, in_files: dict) -> "TrainingText":
        """Of an SAEDescription's `subject` and `in_files`; what is no slice is as if it were not there."""
        context = subject.get("context_size")
        context = context if isinstance(context, int) and context > 0 else None
        positions = in_files.get("seqpos_slice")
        first, end = _ends(positions, context) if isinstance(positions, list | tuple) else (0, None)
        return cls(context, first, end, subject.get("prepend_bos"))

    @property
    def longest(self) -> int | None:
        """Tokens beyond which no activation was learnt."""
        return min(filter(None, (self.context, self.end)), default=None)

    @property
    def row_length(self) -> int | None:
        """Of rows that are built for it: those of the training where they are shorter than the usual ones."""
        return self.longest if self.longest and 2 <= self.longest < LENGTH else None

    def skipped(self, bos: bool) -> int:
        """Positions after a BOS, if there is one, that were not learnt."""
        return max(0, self.first - bos)

    def differences(self, row_length: int, first: int, bos: bool, vocabulary: Vocabulary) -> list[str]:
        """Sentences on what is otherwise in rows of this length, counted from position `first` on."""
        said = []
        if self.longest and self.longest != row_length:
            beyond = ": what it does on later tokens, nobody has trained" if row_length > self.longest else ""
            said.append(f"Trained on {self.longest:,} tokens, counted on rows of {row_length:,}{beyond}.")
        if self.first > first:
            said.append(
                f"Trained on positions from {self.first:,} on (seqpos_slice), counted from {first:,} on. A corpus "
                f"without them: add_corpus --skip-first {self.skipped(bos)}"
            )
        if self.bos and not bos:
            why = f", and {vocabulary.bos.said}" if vocabulary.bos_id is None else ""
            said.append(
                f"Trained on sequences with BOS in front; the rows here have none{why}. Their first tokens are others "
                "to the model."
            )
        return said


def _ends(positions, context: int | None) -> tuple[int, int | None]:
    """First position and end of a slice, as Python takes it."""
    try:
        first, end, _ = slice(*positions).indices(context or 2**31)
    except (TypeError, ValueError):
        return 0, None
    return first, end if end < (context or 2**31) else None
