"""What do rows take, about? Lengths of what is packed, and the narrow rows: as many rows are read as features are."""

from django.db.models import QuerySet, Sum
from django.db.models.functions import Length

from ...models import Feature, FeatureAnalysis, FeatureDescription, FeatureExamples, FeatureSearch, Statistics

NARROW_ROW = 256  # bytes, with its share of indexes about twice that


def total(rows: QuerySet, *fields: str) -> int:
    """Bytes in these fields of all of them."""
    sums = rows.aggregate(**{f"all_{number}": Sum(Length(field)) for number, field in enumerate(fields)})
    return sum(filter(None, sums.values()))


def of_statistics(statistics: Statistics) -> int:
    features = Feature.objects.filter(statistics=statistics)
    mine = {"feature__statistics": statistics}
    drawn = total(features, "stored__payload", "stored__quantiles", "old_payload", "old_quantiles")
    found = total(FeatureExamples.objects.filter(**mine), "tokens")
    found += total(FeatureSearch.objects.filter(**mine), "boosted", "suppressed", "twins")
    return drawn + found + of_analyses(statistics) + NARROW_ROW * features.count()


def of_analyses(statistics: Statistics) -> int:
    mine = {"feature__statistics": statistics}
    return total(FeatureAnalysis.objects.filter(**mine), "payload") + total(
        FeatureDescription.objects.filter(**mine), "line", "pattern"
    )
