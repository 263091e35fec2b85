"""Which features are listed, and in which order? Read from a query string; every state is an address."""

import zlib
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db.models import Q

from .contexts import features_with
from .models import SAE, Feature

SORTS = ("index", "density", "maximum", "mean", "top_token", "top_logit")
SHOWN = {"": "all", "alive": "alive", "sparse": "worth reading", "dense": "dense", "dead": "dead"}
SEARCHED = {"fired": "top_token", "boosted": "top_logit", "examples": None}  # by -> column; None: see contexts.py
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
        return cls(
            show=show if show in SHOWN else "",
            q=query.get("q", "")[:100].replace("\0", ""),
            by=by if by in SEARCHED else "fired",
            sort=sort if sort.removeprefix("-") in SORTS else "index",
            only=tuple(sorted(set(only))[:MOST_CHOSEN]),
        )

    def query(self, **changes) -> str:
        """As a query string, "" for the plain list; changes may set a page or another sort."""
        asked = {"show": self.show, "q": self.q, "by": self.by if self.q else "", "sort": self.sort}
        asked |= {"only": ",".join(map(str, self.only))} | changes
        asked = {name: value for name, value in asked.items() if value and (name, value) != ("sort", "index")}
        return "?" + urlencode(asked) if asked else ""

    @property
    def is_plain(self) -> bool:
        return not self.query()

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
        if self.q and self.by == "examples":
            features = features.filter(index__in=self._found(sae)[0])
        elif self.q:
            features = features.filter(**{f"{SEARCHED[self.by]}__icontains": self.q})
        if self.only:
            features = features.filter(index__in=self.only)
        return features

    def why_unsearched(self, sae: SAE) -> str:
        """"" unless the text of the examples, which is to be searched, cannot be read."""
        return self._found(sae)[1] if self.q and self.by == "examples" else ""

    def _found(self, sae: SAE) -> tuple[list[int], str]:
        """Features with the text in an example; none, and why, where that cannot be told."""
        try:
            return features_with(sae, self.q)[:MOST_FOUND], ""
        except (ValueError, OSError, zlib.error) as problem:
            return [], f"The examples cannot be searched: {problem}"

    def features(self, sae: SAE):
        """The listed features without their payloads, in order; equal values by index."""
        return self.filtered(sae).light().order_by(self.sort, "index")

    def around(self, sae: SAE, feature: Feature) -> tuple[int | None, int | None]:
        """The listed features before and after this one in the list's order; it need not be listed."""
        return self._beside(sae, feature, forward=False), self._beside(sae, feature, forward=True)

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
