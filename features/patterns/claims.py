"""Do the claims about an SAE's features hold for a set of its statistics? Made by readers, tested as computations end.

A claim is about weights and the number of a feature, and outlives statistics; a test belongs to a set of them.
"""

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache

from django.db import transaction
from django.utils import timezone

from ..engine.ask.one_feature import OneFeature
from ..engine.ask.thresholds import Threshold
from ..engine.claims.kinds import Evidence, Untestable, check_claim
from ..engine.results import Progress
from ..messages import BadRequest
from ..models import SAE, Claim, ClaimTest, Feature, Statistics
from ..storage.feature_rows import statistics_of
from ..storage.findings_file import FindingsUnreadable, findings_of, read_of
from ..storage.kept_activations import kept_by
from ..storage.readers import rows_of, vocabulary_of
from . import held

log = logging.getLogger(__name__)

SHARE_TO_KEEP = 0.9  # of the F1 that a pattern had: what it has to reach to hold, unless somebody says otherwise


# Tested


def test_claims(
    statistics: Statistics, features: Iterable[int] | None = None, lease=None, progress: Callable = lambda now: None
) -> list[ClaimTest]:
    """Hold all claims about these weights, or about some of their features, against a set of statistics. A claim that
    cannot be tested says why; none stops a computation. Raises what `lease.check` and `progress` do."""
    take_up_findings(statistics.sae)
    claims = Claim.objects.about(statistics.checkpoint_hash)
    claims = list(claims if features is None else claims.filter(index__in=list(features)))
    # The same pattern one after another: where it holds is looked for once.
    claims.sort(key=lambda claim: (claim.says.get("pattern", ""), claim.index))
    tests, against = [], _Against(statistics)
    for done, claim in enumerate(claims):
        progress(Progress("testing claims", done, len(claims)))
        tests.append(against.test(claim))
    with transaction.atomic():
        if lease:
            lease.check()
        statistics.claim_tests.filter(claim__in=claims).delete()
        ClaimTest.objects.bulk_create(tests)
    return tests


def outcome_of(claim: Claim, evidence: Callable[[Claim], Evidence]) -> dict:
    """`holds`, `figure` and `scores` of a test. What cannot be tested says why; nothing is raised."""
    try:
        outcome = check_claim(claim.says, evidence(claim))
        return {"holds": outcome.holds, "figure": outcome.figure, "scores": outcome.scores}
    except (ValueError, OSError) as problem:
        figure = str(problem)
    except Exception as problem:  # whatever stands in a row: the computation goes on, and the claim says it
        log.exception("%s cannot be tested", claim)
        figure = f"It could not be tested: {type(problem).__name__}."
    return {"holds": None, "figure": figure, "scores": None}


class _Against:
    """A set of statistics that claims are held against, opened once."""

    def __init__(self, statistics: Statistics):
        self.statistics = statistics
        self._feature = lru_cache(maxsize=1)(self._read)  # claims about one feature come together

    def test(self, claim: Claim) -> ClaimTest:
        return ClaimTest(claim=claim, statistics=self.statistics, **outcome_of(claim, self._evidence))

    def _evidence(self, claim: Claim) -> Evidence:
        def score(pattern: str, threshold: Threshold) -> OneFeature:
            return scored(self.statistics, self._kept, claim.index, pattern, threshold)

        if claim.says["kind"] == "pattern":
            return Evidence(None, None, None, score)
        return Evidence(self._feature(claim.index), *self._text, score)

    @cached_property
    def _kept(self):
        return kept_by(self.statistics)

    @cached_property
    def _text(self):
        return rows_of(self.statistics.corpus), vocabulary_of(self.statistics.sae)

    def _read(self, index: int):
        row = Feature.objects.filter(statistics=self.statistics, index=index).with_payloads().first()
        if row is None:
            raise Untestable("The feature has no statistics.")
        return statistics_of(row)


def scored(statistics: Statistics, kept, index: int, pattern: str, threshold: Threshold) -> OneFeature:
    """A feature's figures with a pattern. Raises what `held_by` does."""
    where = held.held_by(statistics, kept, pattern)
    return OneFeature.of(kept, index, where.tokens, where.counted, threshold)


# What stands in findings.json


def take_up_findings(sae: SAE) -> None:
    """The checks of findings.json become claims; of those that stand there no longer the claims go. A file that cannot
    be read changes nothing."""
    try:
        wanted = dict(_checks(read_of(sae)))
    except FindingsUnreadable:
        return
    with transaction.atomic():
        known = {key_of(row.index, row.says): row for row in _of_findings(sae)}
        Claim.objects.filter(pk__in=[row.pk for key, row in known.items() if key not in wanted]).delete()
        Claim.objects.bulk_create(
            Claim(checkpoint_hash=sae.checkpoint_hash, index=index, says=check, from_findings=True)
            for key, (index, check) in wanted.items()
            if key not in known
        )


def key_of(index: int, says: dict) -> tuple[int, str]:
    """The same of claims that say the same."""
    return index, json.dumps(says, sort_keys=True)


def _checks(findings) -> Iterator[tuple[tuple, tuple[int, dict]]]:
    for finding in findings.features:
        for check in finding.checks:
            yield key_of(finding.feature, check), (finding.feature, check)


def _of_findings(sae: SAE):
    return Claim.objects.about(sae.checkpoint_hash).filter(from_findings=True)


# Rows of earlier versions


def untested() -> list[SAE]:
    """SAEs whose shown statistics some claim was not held against: those of an earlier version, or findings that were
    written since."""
    return [sae for sae in SAE.objects.for_pages().filter(statistics__quick=False) if _lacks_tests(sae)]


def _lacks_tests(sae: SAE) -> bool:
    claims = Claim.objects.about(sae.statistics.checkpoint_hash)
    if claims.exclude(tests__statistics=sae.statistics).exists():
        return True
    known = {key_of(row.index, row.says) for row in _of_findings(sae)}
    return any(key not in known for key, _ in _checks(findings_of(sae)))


def test_untested() -> None:
    for sae in untested():
        test_claims(sae.statistics)
    held.forget()


# Made


def make_claim(sae: SAE, kept, index: int, pattern: str, threshold: Threshold, user=None, note: str = "") -> Claim:
    """Claim that a feature goes with a pattern as well as it does now. Raises BadRequest, and what `held_by` does."""
    now = scored(sae.statistics, kept, index, pattern, threshold)
    if not now.hits:
        raise BadRequest(
            f"Feature {index:,} is active on none of the {now.held:,} tokens on which the pattern holds: there is "
            "nothing to claim."
        )
    # Three digits, rounded down: what is shown is what has to be reached.
    says = {"kind": "pattern", "pattern": pattern, "f1": math.floor(1000 * SHARE_TO_KEEP * now.f1 + 1e-9) / 1000}
    says |= {"from": str(threshold)} if str(threshold) != "any" else {}
    with transaction.atomic():
        for other in Claim.objects.about(sae.checkpoint_hash, index).filter(from_findings=False):
            if _asks(other.says) == _asks(says):
                raise BadRequest("This is claimed of the feature already. Remove that claim to make it anew.")
        claim = Claim.objects.create(
            checkpoint_hash=sae.checkpoint_hash,
            index=index,
            says=says,
            stated=now.to_dict() | {"corpus": sae.statistics.corpus.name},
            note=note,
            author=user,
            author_name=user.get_username() if user else "",
        )
        outcome = check_claim(says, Evidence(None, None, None, lambda *_: now))
        ClaimTest.objects.create(
            claim=claim,
            statistics=sae.statistics,
            holds=outcome.holds,
            figure=outcome.figure,
            scores=outcome.scores,
            tested=timezone.now(),
        )
    return claim


def _asks(says: dict) -> tuple:
    return says["kind"], says.get("pattern"), says.get("from", "any")
