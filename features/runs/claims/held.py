"""Do claims about a run's features hold at a checkpoint? Tested on the run's rows, as it is read.

A claim is about weights; within a run a feature keeps its index, and so its claims go with it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db.models import Count, Q

from ...engine.ask.one_feature import OneFeature
from ...engine.ask.thresholds import Threshold
from ...engine.claims.kinds import Evidence, Untestable
from ...jobs import lifecycle
from ...models import SAE, Checkpoint, CheckpointTest, Claim, Run, Statistics
from ...patterns import held
from ...patterns.claims import key_of, outcome_of, take_up_findings


def claims_of(run: Run) -> list[Claim]:
    """About features of any of its checkpoints, states that were overwritten among them; of equal ones the first."""
    paths = run.checkpoints.values("path")
    hashes = SAE.objects.filter(Q(checkpoints__run=run) | Q(path__in=paths)).values("checkpoint_hash")
    found = Claim.objects.filter(checkpoint_hash__in=hashes, index__lt=run.d_sae).order_by("index", "id")
    return list({key_of(claim.index, claim.says): claim for claim in reversed(found)}.values())[::-1]


def tests_at(checkpoint: Checkpoint, reading, say: Callable[[str, int, int], None]) -> list[CheckpointTest]:
    """Of all claims of its run, not saved; `reading` is the pass over the run's rows (engine/training/measure.py).
    `say(phase, done, total)` may raise to stop."""
    take_up_findings(checkpoint.sae)
    claims = claims_of(checkpoint.run)
    if not claims:
        return []
    say("testing claims", 0, len(claims))
    evidence = _Evidence(checkpoint, reading, claims)
    tests = []
    for done, claim in enumerate(claims):
        say("testing claims", done, len(claims))
        outcome = outcome_of(claim, evidence.of)
        tests.append(
            CheckpointTest(claim=claim, checkpoint=checkpoint, holds=outcome["holds"], figure=outcome["figure"])
        )
    return tests


def store(checkpoint: Checkpoint, tests: list[CheckpointTest]) -> None:
    """In the transaction that ends the checkpoint's work; a claim that was removed meanwhile is left out."""
    checkpoint.claim_tests.all().delete()
    there = set(Claim.objects.filter(pk__in=[test.claim_id for test in tests]).values_list("pk", flat=True))
    CheckpointTest.objects.bulk_create(test for test in tests if test.claim_id in there)


class _Evidence:
    """What a pass over the rows says of the features that something is claimed of."""

    def __init__(self, checkpoint: Checkpoint, reading, claims: list[Claim]):
        from ...engine.training.single_features import single_features  # brings torch

        self.reading, self.run = reading, checkpoint.run
        # Where a pattern holds follows from the text and the vocabulary alone.
        self.text = Statistics(sae=checkpoint.sae, corpus=checkpoint.run.rows)
        others = [claim for claim in claims if claim.says["kind"] != "pattern"]
        helping = {claim.index for claim in others if claim.says["kind"] == "helps"}
        found = single_features(reading, {claim.index for claim in others}, helping) if others else ()
        self.features = {each.index: each for each in found}

    def of(self, claim: Claim) -> Evidence:
        score = partial(self._score, claim.index)
        vocabulary = self.reading.subject.vocabulary
        return Evidence(self.features.get(claim.index), self.reading.rows, vocabulary, score)

    def _score(self, index: int, pattern: str, threshold: Threshold) -> OneFeature:
        entries, counted = self.reading.entries, self.reading.plan.tokens
        where = held.held_within(self.text, entries.tokens, pattern)
        if where.counted != counted:
            raise Untestable(f"The pass counted {counted:,} tokens; the text of the same rows has {where.counted:,}.")
        return OneFeature.of_entries(next(entries.features([index])), where.tokens, counted, threshold)


def untested(run: Run) -> list[Checkpoint]:
    """Complete checkpoints at which a claim was not tested: it was made later. Their files are there to be read."""
    claims = claims_of(run)
    if not claims:
        return []
    tested = Count("claim_tests", filter=Q(claim_tests__claim__in=claims))
    done = run.in_order().filter(state=Checkpoint.State.DONE).annotate(tested=tested).filter(tested__lt=len(claims))
    return [checkpoint for checkpoint in done if Path(checkpoint.path).exists()]


def test_again(run: Run) -> int:
    """Have those read once more; how many."""
    return sum(lifecycle.again(checkpoint) for checkpoint in reversed(untested(run)))
