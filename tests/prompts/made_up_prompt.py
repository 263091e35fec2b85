"""Prompt activations that no model computed: some features on each token, the same for the same prompt."""

from types import SimpleNamespace

import numpy as np


class MadeUpPrompt:
    """As engine.prompt's PromptActivations, from seeded numbers."""

    subject = SimpleNamespace(why_no_effects="")  # of a model whose losses are right

    def __init__(self, ids, features):
        rng = np.random.default_rng(list(ids))
        shape = features, len(ids)
        self.ids = list(ids)
        self.activations = np.where(rng.random(shape) < 0.4, rng.gamma(1, 0.3, shape), 0).astype(np.float32)
        self.effects = rng.normal(0, 0.1, shape).astype(np.float32)
        self.losses = np.concatenate([[np.nan], rng.gamma(2, 1, len(ids) - 1)]).astype(np.float32)

    def __len__(self):
        return len(self.ids)

    def is_special(self, position):
        return self.ids[position] < 3  # BOS, EOS and PAD of the demo's vocabulary

    def effects_after(self, position, features, activations):
        if position + 1 == len(self):
            return np.full(len(features), np.nan)
        return self.effects[features, position + 1]

    def active(self, position):
        features = np.flatnonzero(self.activations[:, position])
        return features, self.activations[features, position]

    def matrix(self, features):
        return self.activations[np.asarray(features, dtype=int)]

    def predictions(self, position, feature):
        """As they are, and without the feature: the first tokens change places with it."""
        both = np.full((2, 8192), 0.1 / 8184, np.float32)
        both[0, 100:108], both[1, 108:100:-1] = np.arange(8, 0, -1) / 40, np.arange(8, 0, -1) / 40
        return float(self.activations[feature, position]), both

    def loss_effects(self, features):
        """At token p the effect of the activation at p - 1; NaN where that is none."""
        features = np.asarray(features, dtype=int)
        found = np.full((len(features), len(self.ids)), np.nan, np.float32)
        before = self.activations[features, :-1] > 0
        found[:, 1:][before] = self.effects[features, 1:][before]
        return found
