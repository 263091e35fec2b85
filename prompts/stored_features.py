"""What do the stored statistics say of the features of a prompt? One query a question."""

from collections.abc import Iterable, Sequence

import numpy as np

from features.engine.activity.quantiles import quantile
from features.models import SAE, Feature, FeatureQuerySet


class StoredFeatures:
    """The statistics that an SAE's pages show, asked for the few features that a prompt wakes."""

    def __init__(self, sae: SAE):
        self.sae = sae
        self._sketches = {}  # feature -> (count, tokens, bytes of its quantile sketch), or None without a row

    @property
    def exists(self) -> bool:
        return self.sae.statistics_id is not None

    def quantiles(self, features: Sequence[int], activations: np.ndarray) -> np.ndarray:
        """Share of the counted tokens below each feature's activation; NaN without a row. [n], [n] -> [n]"""
        return self.many_quantiles(features, np.reshape(activations, (-1, 1)))[:, 0]

    def many_quantiles(self, features: Sequence[int], activations: np.ndarray) -> np.ndarray:
        """The same for several activations of each feature. [n], [n, m] -> [n, m]"""
        self._fetch_sketches(features)
        quantiles = np.full(np.shape(activations), np.nan)
        for i, feature in enumerate(features):
            if self._sketches[feature]:
                count, tokens, sketch = self._sketches[feature]
                quantiles[i] = quantile(np.frombuffer(sketch, np.float32), count, tokens, activations[i])
        return quantiles

    def denser_than(self, share: float, features: Iterable[int]) -> set[int]:
        """Those of the features that are active on a larger share (0 to 1) of the counted tokens."""
        if share >= 1 or not self.exists:
            return set()
        rows = self._rows(features, "index", "density")
        return {feature for feature, (_, density) in rows.items() if density > share}

    def scales(self, features: Iterable[int]) -> dict[int, tuple[float, float]]:
        """{feature: (density, highest activation)} on the corpus, of those that have a row."""
        rows = self._rows(features, "index", "density", "maximum")
        return {feature: row[1:] for feature, row in rows.items()}

    def whole(self, features: Iterable[int]) -> dict[int, Feature]:
        """Full rows, for dashboards."""
        if not self.exists:
            return {}
        return {row.index: row for row in self._of(features).with_payloads()}

    def narrow(self, features: Iterable[int]) -> dict[int, Feature]:
        """Rows without what only a feature's own page draws."""
        return {row.index: row for row in self._of(features).narrow()} if self.exists else {}

    def _fetch_sketches(self, features: Sequence[int]) -> None:
        """Once each: a ranking asks for all active features, then again for the first of them."""
        missing = [feature for feature in features if feature not in self._sketches]
        if missing:
            stored = self._of(missing).stored_values("quantiles", "index", "count", "tokens") if self.exists else ()
            rows = {index: sketch for index, *sketch in stored}
            self._sketches.update({feature: rows.get(feature) for feature in missing})

    def _rows(self, features: Iterable[int], *columns: str) -> dict[int, tuple]:
        if not self.exists:
            return {}
        return {row[0]: row for row in self._of(features).values_list(*columns)}

    def _of(self, features: Iterable[int]) -> FeatureQuerySet:
        return Feature.objects.shown_of(self.sae).filter(index__in=[int(feature) for feature in features])
