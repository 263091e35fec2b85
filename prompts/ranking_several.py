"""Which features come first on several tokens together? Their scores, summed over the tokens."""

import numpy as np

from features.engine.results import Score


def summed(prompt, asked, stored):
    """Scores of all features active on the chosen tokens, best first.

    Activations (ordered by size) and loss effects are sums; the quantile is the mean over the tokens, where an
    inactive feature has quantile 0 as the definition says. BOS takes no part.
    """
    effect = asked.rank == "loss_effect"
    read = [(p, p - effect) for p in asked.positions if p >= effect]  # token asked about, token read
    at = np.array([q for p, q in read if not prompt.is_special(p) and not prompt.is_special(q)], dtype=int)
    features = np.unique(np.concatenate([prompt.active(int(p))[0] for p in at] or [[]])).astype(int)
    activations = np.asarray(prompt.matrix(features))[:, at]  # [features, chosen]
    effects = np.asarray(prompt.loss_effects(features))[:, np.minimum(at + 1, len(asked.ids) - 1)]
    effects = np.where(at + 1 < len(asked.ids), effects, np.nan)
    quantiles = _mean_quantiles(stored, features, activations)
    found = {
        "act_size": activations.sum(axis=1),
        "act_quantile": quantiles,
        "loss_effect": np.where(np.isnan(effects).all(axis=1), np.nan, np.nansum(effects, axis=1)),
    }
    keys = found["loss_effect"] if effect else -np.abs(found[asked.rank])
    order = np.argsort(keys, kind="stable")
    return [
        Score(
            feature=int(features[i]),
            score=float(found[asked.rank][i]),
            activation=float(found["act_size"][i]),
            quantile=float(quantiles[i]) if stored.exists else None,
            loss_effect=None if np.isnan(found["loss_effect"][i]) else float(found["loss_effect"][i]),
        )
        for i in order
    ]


def _mean_quantiles(stored, features, activations):
    """Mean over the tokens of each feature's quantiles; zeros where it is not active. [features]"""
    if not stored.exists or not activations.size:
        return np.full(len(features), np.nan)
    return stored.many_quantiles(features, activations).mean(axis=1)
