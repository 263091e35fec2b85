"""How did claims about a run's features fare over its checkpoints? What stopped holding comes first."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...engine.claims.words import in_words
from ...models import Checkpoint, CheckpointTest, Claim, Run
from .held import claims_of

MOST_MARKS = 30  # checkpoints that are drawn one by one


@dataclass(frozen=True)
class ClaimHistory:
    """A claim over the checkpoints of a run."""

    claim: Claim
    outcomes: tuple[bool | None, ...]  # at each checkpoint; None: not tested there
    figures: tuple[str, ...]
    labels: tuple[str, ...]  # of the checkpoints

    @property
    def words(self) -> str:
        return in_words(self.claim.says)

    @property
    def last(self) -> int | None:
        """The newest checkpoint at which it was tested."""
        return next((n for n in reversed(range(len(self.outcomes))) if self.outcomes[n] is not None), None)

    @property
    def state(self) -> str:
        """ "stopped", "never", "holds" or "untested", at the newest checkpoint that knows."""
        if self.last is None:
            return "untested"
        if self.outcomes[self.last]:
            return "holds"
        return "stopped" if True in self.outcomes else "never"

    @property
    def turned(self) -> int | None:
        """Where it came to be as it is at the newest: the first of the last checkpoints that agree."""
        if self.last is None:
            return None
        now, turned = self.outcomes[self.last], self.last
        for n in reversed(range(self.last)):
            if self.outcomes[n] is not None and self.outcomes[n] != now:
                break
            turned = n if self.outcomes[n] is not None else turned
        return turned

    @property
    def sentence(self) -> str:
        """Since when it holds or holds no longer, and the newest figure."""
        if self.last is None:
            told = [figure for figure in self.figures if figure]
            return f"Cannot be tested: {told[-1]}" if told else "Not tested at these checkpoints yet."
        figure, since = self.figures[self.last], self.labels[self.turned]
        if self.state == "never":
            return f"Held at no checkpoint so far: {figure} at {self.labels[self.last]}."
        if self.state == "stopped":
            return f"Holds no longer since {since}: {figure} at {self.labels[self.last]}."
        return f"Holds since {since}: {figure} at {self.labels[self.last]}."

    @property
    def marks(self) -> list[dict]:
        """A sign for each checkpoint; of a long run those around a turn, the first and the last."""
        told = {True: ("holds", "holds, "), False: ("fails", "does not hold, "), None: ("untested", "")}
        shown = range(len(self.outcomes)) if len(self.outcomes) <= MOST_MARKS else self._around_turns()
        marks = []
        for n in shown:
            state, said = told[self.outcomes[n]]
            marks.append({"state": state, "says": f"{self.labels[n]}: {said}{self.figures[n] or 'not tested'}"})
        return marks

    def _around_turns(self) -> list[int]:
        last = len(self.outcomes) - 1
        turns = [n for n in range(1, last + 1) if self.outcomes[n] != self.outcomes[n - 1]]
        return sorted({0, last, *turns, *(n - 1 for n in turns)})[-MOST_MARKS:]

    def to_dict(self) -> dict:
        return {
            "feature": self.claim.index,
            "words": self.words,
            "from_findings": self.claim.from_findings,
            "author": self.claim.author_name,
            "state": self.state,
            "sentence": self.sentence,
            "outcomes": self.outcomes,
            "figures": self.figures,
        }


ORDER = ("stopped", "never", "holds", "untested")


def through(run: Run, checkpoints: list[Checkpoint], index: int | None = None) -> list[ClaimHistory]:
    """All claims of the run, or those about one feature, over these checkpoints: what stopped holding first."""
    claims = [claim for claim in claims_of(run) if index in (None, claim.index)]
    rows = CheckpointTest.objects.filter(claim__in=claims, checkpoint__in=checkpoints)
    found = {(claim, at): (holds, figure) for claim, at, holds, figure in rows.values_list(
        "claim", "checkpoint", "holds", "figure")}  # fmt: skip
    labels = tuple(each.label for each in checkpoints)
    histories = []
    for claim in claims:
        tests = [found.get((claim.pk, each.pk), (None, "")) for each in checkpoints]
        outcomes, figures = zip(*tests, strict=True) if tests else ((), ())
        histories.append(ClaimHistory(claim, outcomes, figures, labels))
    return sorted(histories, key=lambda each: ORDER.index(each.state))


def counted(histories: list[ClaimHistory], checkpoints: list[Checkpoint]) -> dict:
    """How many of those tested hold at each checkpoint; null where none was tested."""
    columns = [[each.outcomes[n] for each in histories] for n in range(len(checkpoints))]
    tested = [sum(outcome is not None for outcome in column) for column in columns]
    held = [sum(outcome is True for outcome in column) if known else None for column, known in
            zip(columns, tested, strict=True)]  # fmt: skip
    return {"held": held, "tested": tested}


def at(checkpoint: Checkpoint) -> Iterator[dict]:
    """Each claim that was tested at a checkpoint, those that do not hold last."""
    tests = checkpoint.claim_tests.select_related("claim").order_by("claim__index", "claim")
    order = {True: 0, False: 1, None: 2}
    for test in sorted(tests, key=lambda test: order[test.holds]):
        yield {
            "index": test.claim.index,
            "words": in_words(test.claim.says),
            "holds": test.holds,
            "figure": test.figure,
        }
