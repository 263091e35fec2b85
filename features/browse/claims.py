"""What is claimed of a feature, and does it hold on the statistics shown? Told alike on pages and in JSON."""

from django.db.models import Prefetch

from ..engine.claims.words import in_words
from ..models import SAE, Claim, ClaimTest
from ..patterns.claims import key_of
from ..storage.findings_file import findings_of


def may_claim(user) -> bool:
    return user is not None and user.is_active and user.has_perm("features.add_claim")


def may_remove(user, claim: Claim) -> bool:
    """Its author, and who may remove any. What stands in findings.json is removed there."""
    if claim.from_findings or not may_claim(user):
        return False
    return claim.author_id == user.pk or user.has_perm("features.delete_claim")


def claims_about(sae: SAE, index: int | None = None, user=None) -> list[dict]:
    """Those about a feature, or about all features: what stands in findings.json first, tested or not yet."""
    tests = Prefetch("tests", ClaimTest.objects.filter(statistics=sae.statistics_id), "shown")
    rows = list(Claim.objects.about(sae.checkpoint_hash, index).prefetch_related(tests))
    known = {key_of(row.index, row.says): row for row in rows if row.from_findings}
    stated = [
        known.get(key_of(finding.feature, check)) or Claim(index=finding.feature, says=check, from_findings=True)
        for finding in findings_of(sae).features
        for check in finding.checks
        if index in (None, finding.feature)
    ]
    return [_record(row, user) for row in [*stated, *(row for row in rows if not row.from_findings)]]


def _record(claim: Claim, user) -> dict:
    test = next(iter(getattr(claim, "shown", ())), None)
    return {
        "id": claim.pk,
        "feature": claim.index,
        "says": claim.says,
        "words": in_words(claim.says),
        "from_findings": claim.from_findings,
        "author": claim.author_name,
        "note": claim.note,
        "created": claim.created.isoformat(timespec="minutes") if claim.pk else None,
        "stated": claim.stated,
        "test": test
        and {
            "holds": test.holds,
            "figure": test.figure,
            "scores": test.scores,
            "tested": test.tested.isoformat(timespec="minutes"),
        },
        "may_remove": may_remove(user, claim),
    }
