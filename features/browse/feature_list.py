"""Which features are listed, and in which order? Read from a query string; every state is an address."""

import zlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from ..models import SAE, Feature
from .example_search import examples_with

SORTS = ("index", "density", "maximum", "mean", "top_token", "top_logit")
FOUND = "found"  # a sort of its own, by the number of examples with the text that is searched
SHOWN = {"": "all", "alive": "alive", "sparse": "worth reading", "dense": "dense", "dead": "dead"}
SEARCHED = {"fired": "top_token", "boosted": "top_logit", "examples": None}  # by -> column; None: see example_search.py
MOST_CHOSEN = 1000
MOST_FOUND = 30_000  # features by number; a query of SQLite may carry 32,766


@dataclass(frozen=True)
class Listing:
    """A filtered, sorted list of features: `show`, `q` searched `by`, `only` these, sorted by `sort`."""

    show: str = ""
    q: str = ""
    by: str = "fired"
    sort: str = "index"
    only: tuple[int, ...] = field(default=())

    @classmethod
    def asked_by(cls, query) -> "Listing":
        """From a request's GET; what it does not understand reads as the default."""
        sort, by, show = query.get("sort", ""), query.get("by", ""), query.get("show", "")
        only = [int(i) for i in query.get("only", "").split(",") if i.isdecimal() and len(i) < 10]
        asked = cls(
            show=show if show in SHOWN else "",
            q=query.get("q", "")[:100].replace("\0", ""),
            by=by if by in SEARCHED else "fired",
            only=tuple(sorted(set(only))[:MOST_CHOSEN]),
        )
        sorts = (*SORTS, FOUND) if asked.searches_examples else SORTS
        return replace(asked, sort=sort if sort.removeprefix("-") in sorts else asked.usual_sort)

    def query(self, **changes) -> str:
        """As a query string, "" for the plain list; changes may set a page or another sort."""
        asked = {"show": self.show, "q": self.q, "by": self.by if self.q else "", "sort": self.sort}
        asked |= {"only": ",".join(map(str, self.only))} | changes
        usual = ("sort", self.usual_sort)
        asked = {name: value for name, value in asked.items() if value and (name, value) != usual}
        return "?" + urlencode(asked) if asked else ""

    @property
    def is_plain(self) -> bool:
        return not self.query()

    @property
    def searches_examples(self) -> bool:
        return bool(self.q) and self.by == "examples"

    @property
    def usual_sort(self) -> str:
        """Nearly every feature has some example with a common word: those with the most come first."""
        return f"-{FOUND}" if self.searches_examples else "index"

    @property
    def column(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def falls(self) -> bool:
        return self.sort.startswith("-")

    def filtered(self, sae: SAE):
        features = Feature.objects.shown_of(sae)
        if self.show:
            features = {
                "alive": features.alive,
                "sparse": features.worth_reading,
                "dense": features.dense,
                "dead": features.dead,
            }[self.show]()
        if self.searches_examples:
            features = features.filter(index__in=list(self.found(sae))[:MOST_FOUND])
        elif self.q:
            features = features.filter(**{f"{SEARCHED[self.by]}__icontains": self.q})
        if self.only:
            features = features.filter(index__in=self.only)
        return features

    def found(self, sae: SAE) -> dict[int, int]:
        """Feature -> its examples with the text that is searched; nothing where it cannot be told."""
        return self._looked_for(sae)[0]

    def why_unsearched(self, sae: SAE) -> str:
        """ "" unless the text of the examples, which is to be searched, cannot be read."""
        return self._looked_for(sae)[1]

    def _looked_for(self, sae: SAE) -> tuple[dict[int, int], str]:
        try:
            return (examples_with(sae, self.q) if self.searches_examples else {}), ""
        except (ValueError, OSError, zlib.error) as problem:
            return {}, f"The examples cannot be searched: {problem}"

    def features(self, sae: SAE):
        """The listed features without their payloads, in order; equal values by index."""
        features = self.filtered(sae).narrow()
        if self.column == FOUND:
            return InOrder(features, [index for _, index in self._by_found(sae)])
        return features.order_by(self.sort, "index")

    def _by_found(self, sae: SAE) -> list[tuple[int, int]]:
        """(rank, index) of every listed feature, in order; the rank is the number of examples, turned to rise."""
        found = self.found(sae)
        return sorted(self._rank(found, index) for index in self.filtered(sae).values_list("index", flat=True))

    def _rank(self, found: dict[int, int], index: int) -> tuple[int, int]:
        return found.get(index, 0) * (-1 if self.falls else 1), index

    def around(self, sae: SAE, feature: Feature) -> tuple[int | None, int | None]:
        """The listed features before and after this one in the list's order; it need not be listed."""
        if self.column == FOUND:
            return self._around_found(sae, feature.index)
        return self._beside(sae, feature, forward=False), self._beside(sae, feature, forward=True)

    def _around_found(self, sae: SAE, index: int) -> tuple[int | None, int | None]:
        order, here = self._by_found(sae), self._rank(self.found(sae), index)
        before, after = bisect_left(order, here) - 1, bisect_right(order, here)
        return order[before][1] if before >= 0 else None, order[after][1] if after < len(order) else None

    def _beside(self, sae: SAE, feature: Feature, forward: bool) -> int | None:
        index = Q(index__gt=feature.index) if forward else Q(index__lt=feature.index)
        if self.column == "index":
            beyond = Q(index__lt=feature.index) if forward == self.falls else Q(index__gt=feature.index)
        else:
            value = getattr(feature, self.column)
            further = "gt" if forward != self.falls else "lt"
            beyond = Q(**{f"{self.column}__{further}": value}) | (Q(**{self.column: value}) & index)
        features = self.features(sae).filter(beyond)
        return (features if forward else features.reverse()).values_list("index", flat=True).first()


@dataclass(frozen=True)
class InOrder:
    """Features in an order that the database does not know; a page of them is read at a time."""

    features: QuerySet
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, part: slice) -> list[Feature]:
        wanted = self.indices[part]
        read = {feature.index: feature for feature in self.features.filter(index__in=wanted)}
        return [read[index] for index in wanted if index in read]
