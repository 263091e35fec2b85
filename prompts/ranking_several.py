"""Which features come first on several tokens together? By the sum of their scores, or by their highest quantile."""

from typing import TYPE_CHECKING

import numpy as np

from features.engine.results import Score

from .forms import PromptQuestion
from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations


def scores_over_tokens(prompt: "PromptActivations", question: PromptQuestion, stored: StoredFeatures) -> list[Score]:
    """Scores of all features active on the chosen tokens, best first.

    Activations (ordered by size) and loss effects are sums, the quantile is the highest: a mean would be one over the
    zeros of tokens on which a feature is silent. Special tokens take no part. Of equal scores the larger activation
    comes first, then the lower feature.
    """
    read = _positions_read(prompt, question)  # [read]
    features = np.unique(np.concatenate([prompt.active(int(p))[0] for p in read] or [[]])).astype(int)  # [n], ascending
    activations = np.asarray(prompt.matrix(features))[:, read]  # [n, read]
    effects = _effects_after(prompt, features, read, tokens=len(question.ids))  # [n, read]
    quantiles = _highest_quantiles(stored, features, activations)  # [n]
    scores = {
        "act_size": activations.sum(axis=1),
        "act_quantile": quantiles,
        "loss_effect": np.where(np.isnan(effects).all(axis=1), np.nan, np.nansum(effects, axis=1)),
    }
    # Loss effects sort ascending: the most helpful is the most negative. The others sort descending, by size.
    keys = scores["loss_effect"] if question.metric == "loss_effect" else -np.abs(scores[question.metric])
    return [
        Score(
            feature=int(features[i]),
            score=float(scores[question.metric][i]),
            activation=float(scores["act_size"][i]),
            quantile=float(quantiles[i]) if stored.exists else None,
            loss_effect=None if np.isnan(scores["loss_effect"][i]) else float(scores["loss_effect"][i]),
        )
        for i in np.lexsort((-np.abs(scores["act_size"]), keys))  # the last key counts most; stable
    ]


def _positions_read(prompt, question: PromptQuestion) -> np.ndarray:
    """Tokens whose activations count. [read] int"""
    # An activation's loss effect falls on the next token: for it, the token before each chosen one is read.
    shift = int(question.metric == "loss_effect")
    pairs = [(chosen, chosen - shift) for chosen in question.positions if chosen >= shift]
    special = prompt.is_special
    return np.array([read for chosen, read in pairs if not special(chosen) and not special(read)], dtype=int)


def _effects_after(prompt, features: np.ndarray, read: np.ndarray, tokens: int) -> np.ndarray:
    """Loss effects that activations on the tokens read have on the next; NaN after the last. [n, read]"""
    # The next token's column holds the effect. The last token has none: its index is clipped, its column blanked.
    effects = np.asarray(prompt.loss_effects(features))[:, np.minimum(read + 1, tokens - 1)]
    return np.where(read + 1 < tokens, effects, np.nan)


def _highest_quantiles(stored: StoredFeatures, features: np.ndarray, activations: np.ndarray) -> np.ndarray:
    """Of each feature's activations on the tokens; NaN without statistics. [n], [n, read] -> [n]"""
    if not stored.exists or not activations.size:
        return np.full(len(features), np.nan)
    return stored.many_quantiles(features, activations).max(axis=1)
