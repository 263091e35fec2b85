"""Which features are listed, and in which order? Read from a query string; every state is an address."""

import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from django.db.models import Q
from django.http import QueryDict

from ..models import SAE, Feature, FeatureQuerySet
from .example_search import count_examples_with

SORTS = ("index", "density", "maximum", "mean", "top_token", "top_logit")
EXAMPLES = "found"  # in addresses: a sort of its own, by the number of examples with the text that is searched
FILTERS = {"": "all", "alive": "alive", "sparse": "worth reading", "dense": "dense", "dead": "dead"}
SEARCHED = {"fired": "top_token", "boosted": "top_logit", "examples": None}  # by -> column; None: see example_search.py
MOST_CHOSEN = 1000
MOST_MATCHES = 30_000  # features by number; a query of SQLite may carry 32,766


@dataclass(frozen=True)
class FeatureList:
    """A filtered, sorted list of features: `show`, `q` searched `by`, `only` these, sorted by `sort`."""

    show: str = ""
    q: str = ""
    by: str = "fired"
    sort: str = "index"
    only: tuple[int, ...] = field(default=())

    @classmethod
    def from_query(cls, query: QueryDict) -> "FeatureList":
        """From a request's GET; what it does not understand reads as the default."""
        sort, by, show = query.get("sort", ""), query.get("by", ""), query.get("show", "")
        only = [int(i) for i in query.get("only", "").split(",") if i.isdecimal() and len(i) < 10]
        features = cls(
            show=show if show in FILTERS else "",
            q=query.get("q", "")[:100].replace("\0", ""),
            by=by if by in SEARCHED else "fired",
            only=tuple(sorted(set(only))[:MOST_CHOSEN]),
        )
        sorts = (*SORTS, EXAMPLES) if features.searches_examples else SORTS
        return replace(features, sort=sort if sort.removeprefix("-") in sorts else features.usual_sort)

    def query(self, **changes) -> str:
        """As a query string, "" for the plain list; changes may set a page or another sort."""
        values = {"show": self.show, "q": self.q, "by": self.by if self.q else "", "sort": self.sort}
        values |= {"only": ",".join(map(str, self.only))} | changes
        usual = ("sort", self.usual_sort)
        values = {name: value for name, value in values.items() if value and (name, value) != usual}
        return "?" + urlencode(values) if values else ""

    @property
    def is_plain(self) -> bool:
        """Whether all features are listed by their number."""
        return not self.query()

    @property
    def searches_examples(self) -> bool:
        """Whether the text of the examples is searched, and not a column."""
        return bool(self.q) and self.by == "examples"

    @property
    def usual_sort(self) -> str:
        """Nearly every feature has some example with a common word: those with the most come first."""
        return f"-{EXAMPLES}" if self.searches_examples else "index"

    @property
    def column(self) -> str:
        """What is sorted by, whichever way."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the highest comes first."""
        return self.sort.startswith("-")

    # What is listed

    def filtered(self, sae: SAE) -> FeatureQuerySet:
        """The listed features, in no order of this list."""
        features = Feature.objects.shown_of(sae)
        if self.show:
            features = {
                "alive": features.alive,
                "sparse": features.worth_reading,
                "dense": features.dense,
                "dead": features.dead,
            }[self.show]()
        if self.searches_examples:
            features = features.filter(index__in=list(self.example_counts(sae))[:MOST_MATCHES])
        elif self.q:
            features = features.filter(**{f"{SEARCHED[self.by]}__icontains": self.q})
        if self.only:
            features = features.filter(index__in=self.only)
        return features

    def example_counts(self, sae: SAE) -> dict[int, int]:
        """Feature -> its examples with the text that is searched; nothing where they cannot be read."""
        return self._search(sae)[0]

    def why_unsearched(self, sae: SAE) -> str:
        """ "" unless the text of the examples, which is to be searched, cannot be read."""
        return self._search(sae)[1]

    def _search(self, sae: SAE) -> tuple[dict[int, int], str]:
        try:
            return (count_examples_with(sae, self.q) if self.searches_examples else {}), ""
        except (ValueError, OSError, zlib.error) as problem:
            return {}, f"The examples cannot be searched: {problem}"

    # In which order

    def features(self, sae: SAE) -> "FeatureQuerySet | OrderedFeatures":
        """The listed features without their payloads, in order; equal values by index."""
        features = self.filtered(sae).narrow()
        if self.column == EXAMPLES:
            return OrderedFeatures(features, [index for _, index in self._by_example_counts(sae)])
        return features.order_by(self.sort, "index")

    def before_and_after(self, sae: SAE, feature: Feature) -> tuple[int | None, int | None]:
        """The listed features before and after this one in the list's order; it need not be listed."""
        if self.column == EXAMPLES:
            return self._beside_by_example_counts(sae, feature.index)
        return self._beside(sae, feature, forward=False), self._beside(sae, feature, forward=True)

    def _by_example_counts(self, sae: SAE) -> list[tuple[int, int]]:
        """The sort key of every listed feature, in order."""
        counts = self.example_counts(sae)
        return sorted(self._key(counts, index) for index in self.filtered(sae).values_list("index", flat=True))

    def _key(self, counts: dict[int, int], index: int) -> tuple[int, int]:
        """(number of examples, negative in descending order; index)"""
        return counts.get(index, 0) * (-1 if self.descending else 1), index

    def _beside_by_example_counts(self, sae: SAE, index: int) -> tuple[int | None, int | None]:
        keys, key = self._by_example_counts(sae), self._key(self.example_counts(sae), index)
        before, after = bisect_left(keys, key) - 1, bisect_right(keys, key)
        return keys[before][1] if before >= 0 else None, keys[after][1] if after < len(keys) else None

    def _beside(self, sae: SAE, feature: Feature, forward: bool) -> int | None:
        index = Q(index__gt=feature.index) if forward else Q(index__lt=feature.index)
        if self.column == "index":
            beyond = Q(index__lt=feature.index) if forward == self.descending else Q(index__gt=feature.index)
        else:
            value = getattr(feature, self.column)
            further = "gt" if forward != self.descending else "lt"
            beyond = Q(**{f"{self.column}__{further}": value}) | (Q(**{self.column: value}) & index)
        features = self.features(sae).filter(beyond)
        return (features if forward else features.reverse()).values_list("index", flat=True).first()


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
