"""Which features act on a prompt, and which come first at one of its tokens: by size, quantile or loss effect.

The prompt-centric view of sae_vis and of the original page, with the same three metrics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .encoder.dense import dense_entries
from .results import Score
from .subject import Subject
from .weights.ablation import ablate

METRICS = ("act_size", "act_quantile", "loss_effect")
Quantiles = Callable[[np.ndarray, np.ndarray], np.ndarray]  # features [n], activations [n] -> quantiles [n]


@dataclass(frozen=True)
class Ranking:
    """The first features at one token of a prompt."""

    scores: list[Score]
    active: int  # features that were ranked
    activation_position: int | None  # token whose activations were read; None when there is none
    why_empty: str = ""


class PromptActivations:
    """Every active feature of a prompt after one forward pass; loss effects where they are asked for."""

    def __init__(self, subject: Subject, ids: list[int]):
        """`ids` one sequence of at least one token, BOS included where it is wanted."""
        self.subject, self.ids = subject, list(ids)
        hook, residual = subject.activations_and_residual(self.ids)
        features, tokens, values = (part.cpu().numpy() for part in dense_entries(subject.sae, hook[0]))
        order = np.lexsort((features, tokens))  # token by token, features ascending in each
        self._features, self._values = features[order], values[order]
        # Token t's entries are offsets[t] to offsets[t + 1] (CSR, tokens as rows).
        self._offsets = np.searchsorted(tokens[order], np.arange(len(self.ids) + 1))  # [tokens + 1]
        self._residual = residual[0]  # [tokens, d_model]
        self._output_scale = subject.output_scale(hook[0])  # [tokens], of output directions

    def __len__(self) -> int:
        return len(self.ids)

    def active(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Features active on a token, ascending, and their activations. [n] int64, [n] float32"""
        entries = slice(self._offsets[position], self._offsets[position + 1])
        return self._features[entries], self._values[entries]

    def matrix(self, features) -> np.ndarray:
        """Activations of chosen features on every token. [n, tokens] float32"""
        features = np.asarray(features, dtype=np.int64)
        activations = np.zeros((len(features), len(self)), np.float32)
        tokens = np.repeat(np.arange(len(self)), np.diff(self._offsets))  # of each entry
        for n, feature in enumerate(features):
            entries = self._features == feature
            activations[n, tokens[entries]] = self._values[entries]
        return activations

    def is_special(self, position: int) -> bool:
        return self.ids[position] in self.subject.vocabulary.special

    @cached_property
    def losses(self) -> np.ndarray:
        """Loss of predicting each token, nats; NaN for the first, and where the model's could not be read. [tokens]
        float32"""
        if self.subject.why_no_losses:
            return np.full(len(self), np.nan, np.float32)
        # The residual at token t predicts token t + 1: the last one's is left out, the first token has no loss.
        unembedding = self.subject.model.unembedding
        losses = unembedding.losses_of(
            self._unscaled, unembedding.scale(unembedding.centre(self._residual[:-1])), self._targets
        )
        return np.concatenate([[np.nan], losses.cpu().numpy()]).astype(np.float32)

    def loss_effects(self, features) -> np.ndarray:
        """At token p: what each feature's activation on token p - 1 does to the loss of predicting p, nats.

        [n, tokens] float32, negative helps; NaN where there is no such activation.
        Same as reference.prompt_loss_effects: float32 rounding of logits.
        """
        activations = self.matrix(features)
        # The last token's activations predict nothing here; the first token is predicted from nothing.
        rows, positions = np.nonzero(activations[:, :-1])  # [pairs] each
        effects = np.full(activations.shape, np.nan, np.float32)
        of_pairs = self._effects(np.asarray(features, np.int64), rows, positions, activations[rows, positions])
        # Shown at the token that is predicted, one behind the activation.
        effects[rows, positions + 1] = of_pairs
        return effects

    def effects_after(self, position: int, features: np.ndarray, activations: np.ndarray) -> np.ndarray:
        """What given activations on one token do to the loss of the next; NaN on the last. [n] float32"""
        if position + 1 >= len(self):
            return np.full(len(features), np.nan, np.float32)
        return self._effects(features, np.arange(len(features)), np.full(len(features), position), activations)

    def predictions(self, position: int, feature: int) -> tuple[float, np.ndarray]:
        """A feature's activation on a token, and the probabilities of the next token with and without it.

        float, [2, d_vocab] float32. Same as reference.predictions: float32 rounding of logits.
        """
        activation = float(self.matrix([feature])[0, position])
        x = self._residual[position]  # [d_model]
        written = activation * self._output_scale[position] * self.subject.output_directions([feature])[0]  # [d_model]
        logits = self.subject.model.unembedding.logits(torch.stack([x, x - written]))  # [2, d_vocab]
        return activation, logits.softmax(-1).cpu().numpy()

    def _effects(self, features, rows, positions, activations) -> np.ndarray:
        """On the loss, of n pairs of features[rows] and the prediction made at a position; NaN where the model's losses
        or the features' output could not be read. [n] float32"""
        if self.subject.why_no_effects:
            return np.full(len(rows), np.nan, np.float32)
        if not len(rows):
            return np.zeros(0, np.float32)
        # Only positions that are in a pair go through the vocabulary: [p] of them, [n] which one each pair is at.
        used, positions = np.unique(positions, return_inverse=True)
        arrays = (used, positions, rows, np.ascontiguousarray(activations))
        used, positions, rows, f = (torch.from_numpy(array).to(self.subject.device) for array in arrays)
        # On a token feature i adds f * scale * its output direction to the residual stream: that much is ablated.
        effects = ablate(
            self.subject.model.unembedding,
            self._residual[used],
            self._targets[used],
            self.subject.output_directions(features),
            positions,
            rows,
            f * self._output_scale[used][positions],
            unscaled=self._unscaled[used],
        )
        return effects.on_loss.cpu().numpy()

    @cached_property
    def _unscaled(self) -> torch.Tensor:
        """Logits of every token but the last before the final norm's division. [tokens - 1, d_vocab]"""
        return self.subject.model.unembedding.unscaled(self.subject.model.unembedding.centre(self._residual[:-1]))

    @property
    def _targets(self) -> torch.Tensor:
        """The next token of every token but the last."""
        return torch.tensor(self.ids[1:], device=self.subject.device, dtype=torch.long)


def analyse(subject: Subject, ids: list[int]) -> PromptActivations:
    """One forward pass over a prompt. Raises ValueError for an empty prompt, one beyond the context, or a token that
    the model does not have."""
    if not 0 < len(ids) <= subject.model.n_ctx:
        raise ValueError(f"Prompt has {len(ids):,} tokens; this model reads 1 to {subject.model.n_ctx:,}.")
    if max(ids) >= subject.model.d_vocab:  # a special token that was added to the tokenizer alone
        raise ValueError(f"The prompt has the token {max(ids):,}; this model knows 0 to {subject.model.d_vocab - 1:,}.")
    return PromptActivations(subject, ids)


def rank(
    prompt: PromptActivations, position: int, metric: str, top: int = 10, quantiles: Quantiles | None = None
) -> Ranking:
    """The first `top` features at token `position`.

    act_size and act_quantile order the features active on the token, largest first; loss_effect those active
    on the token before, whose effect falls on predicting this one, most helpful (most negative) first. Every
    score names the activation, its quantile (with `quantiles`) and its loss effect on the token after it.
    Special tokens are not ranked. Raises ValueError for another metric or act_quantile without `quantiles`.
    Same as reference.rank: exact of the scores that are ranked.
    """
    if metric not in METRICS:
        raise ValueError(f"Metric {metric!r} is none of {', '.join(METRICS)}.")
    if metric == "act_quantile" and quantiles is None:
        raise ValueError("Ranking by act_quantile needs the quantiles of stored statistics.")
    # A token's loss is decided by the features on the token before.
    source = position - (metric == "loss_effect")
    why_empty = _why_empty(prompt, position, source)
    if metric == "loss_effect":
        why_empty = prompt.subject.why_no_effects or why_empty
    if why_empty:
        return Ranking([], 0, source if source >= 0 else None, why_empty)
    features, activations = prompt.active(source)
    sizes = np.abs(activations)
    if metric == "loss_effect":
        keys = prompt.effects_after(source, features, activations)
    else:
        # lexsort ascends: the largest come first negated, the most helpful loss effects as they are.
        keys = -(sizes if metric == "act_size" else quantiles(features, activations))
    # Equal keys: the larger activation first, then the lower feature.
    first = np.lexsort((features, -sizes, keys))[:top]
    why_empty = "" if len(features) else "No feature is active on this token."
    scores = _scores(prompt, source, features[first], activations[first], metric, quantiles)
    return Ranking(scores, len(features), source, why_empty)


def _why_empty(prompt: PromptActivations, position: int, source: int) -> str:
    """Why nothing can be ranked at a position, whose activations are those of the token `source`; "" where it can."""
    if prompt.is_special(position):
        return "Special tokens (BOS, EOS and the like) are not ranked. Choose another token."
    if source < 0:
        return "The first token is predicted from nothing, so no feature has a loss effect on it."
    if prompt.is_special(source):
        return "The token before is a special one (BOS, EOS or the like), which is not ranked. Choose a later token."
    return ""


def _scores(prompt, source: int, features, activations, metric: str, quantiles: Quantiles | None) -> list[Score]:
    effects = prompt.effects_after(source, features, activations)  # [n]
    ranks = quantiles(features, activations) if quantiles else np.full(len(features), np.nan)
    scores = {"act_size": activations, "act_quantile": ranks, "loss_effect": effects}[metric]
    return [
        Score(int(feature), float(score), float(activation), _or_none(rank), _or_none(effect))
        for feature, score, activation, rank, effect in zip(features, scores, activations, ranks, effects, strict=True)
    ]


def _or_none(value) -> float | None:
    return None if np.isnan(value) else float(value)
