"""Which rows does a list of features have, and which are before and after one of them?"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from django.db import connection
from django.db.models import F, Q

from ..judge.labels import Label, labels_of
from ..judge.reader import Reader
from ..models import SAE, Feature, FeatureQuerySet
from ..patterns.examples import count_examples_with
from .columns import BY_NAME, DETECTED, annotated
from .feature_list import DETECTION, FOUND, GRADE, LABEL, RANKED, FeatureList
from .logit_search import ranks

TOKENS = {"fired": "top_token", "boosted": "top_logit"}
SHOWN = {
    "alive": "alive",
    "sparse": "worth_reading",
    "rare": "ultra_rare",
    "dense": "dense",
    "dead": "dead",
    "twin": "twin",
    "each": "one_of_each",
    "swarm": "swarm",
    "common": "on_common_direction",
    "apart": "in_no_swarm",
    "patterned": "described_well",
    "unpatterned": "without_pattern",
    "scarce": "too_rare_to_describe",
    "one-token": "on_one_token",
    "one-position": "at_one_position",
    "bos-only": "on_bos_only",
}
MOST_PARAMETERS = 500  # of a query: SQLite carries 32,766, but thousands take longer than the query
GRADE_ORDER = {"clear": 3, "partly": 2, "unclear": 1, "": 0}


@dataclass(frozen=True)
class Place:
    """Where a feature stands in a list: its number from 1 on (None: it is not in it), of how many, and those beside."""

    number: int | None
    total: int
    before: int | None
    after: int | None


@dataclass
class ListRows:
    """The rows of a list, as this reader sees them."""

    sae: SAE
    list: FeatureList
    reader: Reader | None = None

    # What is listed

    @cached_property
    def filtered(self) -> FeatureQuerySet:
        """The listed features, in no order of this list."""
        features, asked = Feature.objects.shown_of(self.sae), self.list
        if asked.show:
            features = getattr(features, SHOWN[asked.show])()
        ranges = [one for one in asked.ranges if one.column is not DETECTED]
        features = annotated(features, [one.column for one in ranges])
        for one in ranges:
            features = features.filter(**one.lookups)
        if asked.searches_beside:
            features = _among(features, set(self.found))
        elif asked.searches_tokens:
            features = features.filter(**{f"{TOKENS[asked.by]}__{'exact' if asked.exact else 'icontains'}": asked.q})
        elif asked.q and asked.by == "description":
            features = features.filter(described__line__icontains=asked.q)
        if asked.only:
            features = features.filter(index__in=asked.only)
        if asked.twin is not None:
            features = features.filter(twin_of=asked.twin)
        return self._by_labels(features) if asked.asks_for_labels else features

    def _by_labels(self, features: FeatureQuerySet) -> FeatureQuerySet:
        """Those whose label, star and grade are as asked."""
        asked, labels = self.list, self.labels
        if asked.q and asked.by == "label":
            sought = asked.q.casefold()
            texts = {index: "\n".join([label.text, *label.tags]).casefold() for index, label in labels.items()}
            features = _among(features, {index for index, text in texts.items() if sought in text})
        for one in asked.ranges:
            if one.column is DETECTED:
                features = _among(features, {n for n, label in labels.items() if one.holds(label.machine.get("score"))})
        if asked.star:
            features = _among(features, {index for index, label in labels.items() if label.star})
        if asked.labelled:
            texts = {index for index, label in labels.items() if label.text}
            weaker = {"machine": "is_machine", "inherited": "is_inherited"}.get(asked.labelled)
            if asked.labelled == "no":
                features = _among(features, texts, outside=True)
            else:
                features = _among(features, {n for n in texts if not weaker or getattr(labels[n], weaker)})
        if asked.grade == "none":
            return _among(features, {index for index, label in labels.items() if label.grade}, outside=True)
        if asked.grade:
            return _among(features, {index for index, label in labels.items() if label.grade == asked.grade})
        return features

    @cached_property
    def labels(self) -> dict[int, Label]:
        """Those of all features."""
        return labels_of(self.sae, self.reader)

    @cached_property
    def found(self) -> dict[int, int]:
        """Feature -> its examples with the text that is searched, or the rank of the token; nothing where they cannot
        be read."""
        asked = self.list
        try:
            if asked.searches_ranks:
                return ranks(self.sae, asked.q, RANKED[asked.by], asked.exact)
            return count_examples_with(self.sae, asked.q) if asked.searches_examples else {}
        except (ValueError, OSError) as problem:
            what = "ten tokens" if asked.searches_ranks else "examples"
            self.why_unsearched = f"The {what} cannot be searched: {problem}."
            return {}

    why_unsearched = ""  # "" unless what is to be searched cannot be read

    def could_not_search(self) -> str:
        """The same, once it has been tried."""
        return self.why_unsearched if self.list.searches_beside and not self.found else ""

    # In which order

    def features(self) -> "FeatureQuerySet | SortedFeatures | OrderedFeatures":
        """The listed features without their payloads, in order; equal values by index."""
        computed = [*self.list.shown_columns, *self._computed_sort]
        if self._keys_by_hand:
            shown = annotated(Feature.objects.shown_of(self.sae).narrow(), computed)  # those listed are known by now
            return OrderedFeatures(shown, [index for _, index in self._keys])
        if self.list.column == "index":
            return annotated(self.filtered.narrow(), computed).order_by(self._order, "index")
        # Sorted by its key alone: with all that is shown of each, most of the time goes into carrying that along.
        keys = annotated(self.filtered, computed).order_by(self._order, "index")
        return SortedFeatures(annotated(self.filtered.narrow(), computed).order_by(self._order, "index"), keys)

    @property
    def _computed_sort(self) -> list:
        column = BY_NAME.get(self.list.column)
        return [column] if column else []

    @property
    def _order(self):
        """Of the database; what a feature does not have comes last."""
        name, descending = self._name, self.list.descending
        if not _may_be_none(name):
            return f"{'-' * descending}{name}"
        return F(name).desc(nulls_last=True) if descending else F(name).asc(nulls_last=True)

    @property
    def _keys_by_hand(self) -> bool:
        """Whether the database does not know the order."""
        return self.list.column in (FOUND, LABEL, GRADE, DETECTION)

    @cached_property
    def _keys(self) -> list[tuple]:
        """The sort key of every listed feature, in order."""
        return sorted(self._key(index) for index in self.filtered.values_list("index", flat=True))

    def _key(self, index: int) -> tuple:
        """(what it is sorted by, index); what it does not have comes last, whichever way is sorted."""
        sign = -1 if self.list.descending else 1
        if self.list.column == FOUND:
            return (sign * self.found.get(index, 0),), index
        label = self.labels.get(index) or Label()
        if self.list.column == GRADE:
            value = GRADE_ORDER[label.grade]
            return (not value, sign * value), index
        if self.list.column == DETECTION:
            score = label.machine.get("score")
            return (score is None, sign * (score or 0)), index
        words = label.text.casefold()
        return (not words, tuple(-ord(letter) for letter in words) + (1,) if self.list.descending else words), index

    def place(self, feature: Feature) -> Place:
        """Where a feature stands, which need not be listed."""
        if self._keys_by_hand:
            key = self._key(feature.index)
            before, after = bisect_left(self._keys, key), bisect_right(self._keys, key)
            number = before + 1 if after > before else None
            beside = (self._keys[before - 1][1] if before else None, _at(self._keys, after))
            return Place(number, len(self._keys), *beside)
        return self._place_in_database(feature)

    def _place_in_database(self, feature: Feature) -> Place:
        features = annotated(self.filtered, self._computed_sort)
        value = getattr(feature, self._name, None)
        if not hasattr(feature, self._name):
            own = annotated(Feature.objects.filter(pk=feature.pk), self._computed_sort)
            value = own.values_list(self._name, flat=True).first()
        before = features.filter(self._beyond(value, feature.index, False))
        after = features.filter(self._beyond(value, feature.index, True)).order_by(self._order, "index")
        total, ahead = features.count(), before.count()
        listed = features.filter(pk=feature.pk).exists()
        last = before.order_by(self._order, "index").reverse().values_list("index", flat=True).first()
        first = after.values_list("index", flat=True).first()
        return Place(ahead + 1 if listed else None, total, last, first)

    @property
    def _name(self) -> str:
        column = BY_NAME.get(self.list.column)
        return column.attribute if column else "index"

    def _beyond(self, value, index: int, forward: bool) -> Q:
        """Features behind (or before) one with this value and index in the order of the list."""
        by_index = Q(index__gt=index) if forward else Q(index__lt=index)
        name, descending = self._name, self.list.descending
        if name == "index":
            return ~by_index & ~Q(index=index) if descending else by_index
        none = Q(**{f"{name}__isnull": True})
        if value is None:  # the last ones, by index
            return none & by_index if forward else ~none | (none & by_index)
        further = Q(**{f"{name}__{'lt' if forward == descending else 'gt'}": value})
        equal = Q(**{name: value}) & by_index
        return further | equal | none if forward and _may_be_none(name) else further | equal


def _may_be_none(name: str) -> bool:
    """Whether a feature may lack it."""
    fields = {field.name: field for field in Feature._meta.concrete_fields}
    return name not in fields or fields[name].null


def _among(features: FeatureQuerySet, indices: set[int], outside: bool = False) -> FeatureQuerySet:
    """Those that are, or are not, of these."""
    if len(indices) <= MOST_PARAMETERS:
        return features.exclude(index__in=indices) if outside else features.filter(index__in=indices)
    quoted = connection.ops.quote_name
    column = f"{quoted(Feature._meta.db_table)}.{quoted('index')}"
    numbers = ",".join(str(int(index)) for index in sorted(indices))
    return features.extra(where=[f"{column} {'NOT ' * outside}IN ({numbers})"])


def _at(keys: list[tuple], at: int) -> int | None:
    return keys[at][1] if at < len(keys) else None


def values(features: "FeatureQuerySet | SortedFeatures | OrderedFeatures", names: list[str]) -> Iterator[tuple]:
    """Tuples of these columns of all listed features, in order."""
    features = features.features if isinstance(features, SortedFeatures) else features
    if not isinstance(features, OrderedFeatures):
        yield from features.values_list(*names).iterator(chunk_size=5000)
        return
    held = {row[0]: row[1:] for row in features.features.values_list("index", *names)}
    yield from (held[index] for index in features.indices if index in held)


@dataclass(frozen=True)
class SortedFeatures:
    """Features in the database's order; `keys` are the same, of which a page is sorted before all of it is read."""

    features: FeatureQuerySet
    keys: FeatureQuerySet

    def __len__(self) -> int:
        return self.keys.count()

    def __getitem__(self, part: slice) -> list[Feature]:
        return list(self.features.filter(pk__in=list(self.keys.values_list("pk", flat=True)[part])))


@dataclass(frozen=True)
class OrderedFeatures:
    """Features in an order that the database does not know; a page of them is read at a time."""

    features: FeatureQuerySet
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, part: slice) -> list[Feature]:
        indices = self.indices[part]
        rows = {row.index: row for row in self.features.filter(index__in=indices)}
        return [rows[index] for index in indices if index in rows]
