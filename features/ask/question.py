"""What is asked of the kept activations? Read from a query string; every question is an address."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict

from ..engine.ask.scores import METRICS
from ..engine.ask.thresholds import Threshold

LONG = 1 << 21  # tokens from which on a pattern may take more than a second or two: pages show how far it is


@dataclass(frozen=True)
class Asked:
    """A pattern, from which activation on a feature is active, what features are ranked by, whose text is read."""

    pattern: str = ""
    threshold: Threshold = Threshold()
    metric: str = METRICS[0]
    feature: int | None = None  # None: the best

    @classmethod
    def from_query(cls, query: QueryDict) -> "Asked":
        """Of a request's GET. Raises ValueError where `from` is no threshold; other things read as the default."""
        feature, metric = query.get("feature", ""), query.get("by", "")
        return cls(
            pattern=query.get("q", "").replace("\0", "").strip(),
            threshold=Threshold.read(query.get("from", "")[:100]),
            metric=metric if metric in METRICS else METRICS[0],
            feature=int(feature) if feature.isdecimal() and len(feature) < 10 else None,
        )

    def query(self, **changes) -> str:
        """As a query string."""
        asked = replace(self, **changes)
        values = {"q": asked.pattern, "from": str(asked.threshold), "by": asked.metric, "feature": asked.feature}
        usual = {"from": "any", "by": METRICS[0], "feature": None}
        return "?" + urlencode({name: v for name, v in values.items() if name not in usual or v != usual[name]})
