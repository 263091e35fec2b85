"""What do the stored statistics say of the features of a prompt? One query a question."""

import numpy as np

from features.engine.activity.quantiles import quantile
from features.models import Feature


class Stored:
    """The statistics that an SAE's pages show, asked for the few features that a prompt wakes."""

    def __init__(self, sae):
        self.sae = sae
        self._ladders = {}  # feature -> (count, tokens, ladder), or None without a row

    @property
    def exists(self):
        return self.sae.statistics_id is not None

    def quantiles(self, features, activations):
        """Share of the counted tokens below each feature's activation; NaN without a row. [n], [n] -> [n]"""
        return self.many_quantiles(features, np.reshape(activations, (-1, 1)))[:, 0]

    def many_quantiles(self, features, activations):
        """The same for several activations of each feature. [n], [n, m] -> [n, m]"""
        self._fetch_ladders(features)
        found = np.full(np.shape(activations), np.nan)
        for at, feature in enumerate(features):
            if self._ladders[feature]:
                count, tokens, ladder = self._ladders[feature]
                found[at] = quantile(np.frombuffer(ladder, np.float32), count, tokens, activations[at])
        return found

    def denser_than(self, share, features):
        """Those of the features that are active on a larger share of the counted tokens."""
        if share >= 1 or not self.exists:
            return set()
        rows = self._rows(features, "index", "density")
        return {feature for feature, (_, density) in rows.items() if density > share}

    def scales(self, features):
        """{feature: (density, highest activation)} on the corpus, of those that have a row."""
        rows = self._rows(features, "index", "density", "maximum")
        return {feature: row[1:] for feature, row in rows.items()}

    def whole(self, features):
        """Full rows, for dashboards."""
        if not self.exists:
            return {}
        rows = Feature.objects.shown_of(self.sae).filter(index__in=[int(feature) for feature in features])
        return {row.index: row for row in rows}

    def _fetch_ladders(self, features):
        """Once each: a ranking asks for all active features, then again for the first of them."""
        missing = [feature for feature in features if feature not in self._ladders]
        if missing:
            rows = self._rows(missing, "index", "count", "tokens", "quantiles")
            self._ladders.update({f: rows[f][1:] if f in rows else None for f in missing})

    def _rows(self, features, *columns):
        if not self.exists:
            return {}
        rows = Feature.objects.shown_of(self.sae).filter(index__in=[int(feature) for feature in features])
        return {row[0]: row for row in rows.values_list(*columns)}
