"""Which features are nearly the same one? Those linked by a decoder cosine or a correlation above TWINS_ABOVE.

What is linked to what is written with each feature; the groups, which need all of them, afterwards. Of statistics that
earlier versions wrote, both are made from the payloads by a worker, a batch at a time, to be interrupted anywhere.
"""

from collections import defaultdict

import numpy as np
from django.db import transaction

from ..engine.results import FeatureStatistics
from ..models import Feature, FeatureSearch, Statistics
from .payload import unpack_part

TWINS_ABOVE = 0.9
LEAST_ACTIVE = 20  # tokens: features that fire on fewer correlate by accident
BATCH = 200  # features: no other writer waits long


def search_of(row: Feature, relatives, logits) -> FeatureSearch:
    """What is searched of a feature, not saved; sets the row's columns that follow from its relatives."""
    neighbours, correlated = relatives.neighbours, relatives.correlated_features
    row.nearest_cosine = _highest(neighbours.cosine)
    row.strongest_correlation = _highest(correlated.pearson)
    near = neighbours.indices[neighbours.cosine > TWINS_ABOVE]
    together = correlated.indices[correlated.pearson > TWINS_ABOVE] if row.count >= LEAST_ACTIVE else near[:0]
    return FeatureSearch(
        feature=row,
        boosted=_packed(logits.positive.tokens),
        suppressed=_packed(logits.negative.tokens),
        twins=_packed(np.union1d(near, together)),
    )


def of_statistics(row: Feature, feature: FeatureStatistics) -> FeatureSearch:
    return search_of(row, feature.relatives, feature.logits)


def _highest(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else None


def _packed(indices: np.ndarray) -> bytes:
    return np.asarray(indices, np.int32).tobytes()


# Groups


def group(statistics: Statistics) -> None:
    """Number the groups: each member gets the group's size and its first member."""
    links = FeatureSearch.objects.filter(feature__statistics=statistics).exclude(twins=b"")
    links = [(index, FeatureSearch.ids(bytes(twins))) for index, twins in links.values_list("feature__index", "twins")]
    groups = groups_of(links)
    features = Feature.objects.filter(statistics=statistics)
    with transaction.atomic():
        features.exclude(twin_of=None).update(twin_of=None, twins=0)
        for members in groups:
            for start in range(0, len(members), 500):
                some = features.filter(index__in=members[start : start + 500])
                some.update(twin_of=members[0], twins=len(members))
        Statistics.objects.filter(pk=statistics.pk).update(grouped=True)


def groups_of(links: list[tuple[int, np.ndarray]]) -> list[list[int]]:
    """Connected groups of two and more, ascending, of (feature, the features it is linked to)."""
    first: dict[int, int] = {}

    def root(index: int) -> int:
        while first.setdefault(index, index) != index:
            first[index] = first[first[index]]  # half the way for whoever comes next
            index = first[index]
        return index

    for index, others in links:
        for other in others.tolist():
            low, high = sorted((root(index), root(other)))
            first[high] = low
    members = defaultdict(list)
    for index in sorted(first):
        members[root(index)].append(index)
    return [group for group in members.values() if len(group) > 1]


# Statistics of earlier versions, and those whose writer was killed


def ungrouped():
    """Complete sets that pages show, without their groups."""
    shown = Statistics.objects.filter(grouped=False).exclude(completed=None)
    return shown.filter(sae__statistics_id__in=shown.values("pk"))


def group_all() -> None:
    for statistics in ungrouped():
        while _index_batch(statistics):
            pass
        group(statistics)


def _index_batch(statistics: Statistics) -> int:
    """Index some features that have no row to search yet; how many."""
    missing = Feature.objects.filter(statistics=statistics, search=None).with_payloads().order_by("index")
    with transaction.atomic():
        rows = list(missing[:BATCH])
        found = []
        for row in rows:
            try:
                relatives, logits = (unpack_part(row.payload, part) for part in ("relatives", "logits"))
                found.append(search_of(row, relatives, logits))
            except ValueError:  # of a version that this one cannot read: its page says so
                found.append(FeatureSearch(feature=row, boosted=b"", suppressed=b""))
        FeatureSearch.objects.bulk_create(found, ignore_conflicts=True)  # another worker may be at it
        Feature.objects.bulk_update(rows, ["nearest_cosine", "strongest_correlation"], batch_size=100)
    return len(rows)
