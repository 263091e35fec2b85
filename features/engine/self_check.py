"""Was this SAE read as it was meant? A few thousand tokens through model and SAE, and what is wrong if not.

Also `recompute`: stored activations once more from their tokens.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .corpus.token_rows import counted_tokens, rows_needed
from .encoder.encoder import Encoder
from .model.hook_points import layer_of
from .sae.sae import INPUT_NORMS, SparseAutoencoder
from .subject import Subject
from .weights import summary

TOKENS = 2000  # looked at
TOKENS_FOR_OTHERS = 512  # looked at for every other reading of the same weights
MOST_OTHERS = 24  # hook points tried when the check fails, nearest first
BETTER_BY = 0.1  # explained variance that another reading must gain to be named
LEAST_VARIANCE, GOOD_VARIANCE = 0.0, 0.4
LEAST_RECOVERED = 0.3
MOST_ACTIVE = 0.2  # of all features, on a token


@dataclass(frozen=True)
class Reading:
    """The same weights read another way, and what that explains."""

    hook_point: str
    input_norm: str
    explained_variance: float

    def __str__(self):
        norm = {"none": "", "scaled": " with activations scaled to a mean length of sqrt(d_in)"}
        how = norm.get(self.input_norm, f" with input norm {self.input_norm}")
        return f"at {self.hook_point}{how} give {self.explained_variance:.2f}"


@dataclass(frozen=True)
class SelfCheck:
    """Figures of an SAE on a few tokens; `findings` holds a sentence for each that is out of range."""

    tokens: int
    explained_variance: float | None
    l0: float
    loss_recovered: float | None
    loss_clean: float | None
    findings: tuple[str, ...] = ()
    others: tuple[Reading, ...] = ()  # better ones, best first

    @property
    def passed(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict:
        return {
            **asdict(self),
            "passed": self.passed,
            "findings": list(self.findings),
            "others": list(map(str, self.others)),
        }


def check_sae(subject: Subject, rows: np.ndarray, tokens: int = TOKENS, progress: Callable | None = None) -> SelfCheck:
    """Look at the first `tokens` counted tokens of `rows` (all, where there are fewer).

    Where a figure is out of range, other hook points of the same width and other input norms are tried.
    `progress(sentence)` hears what is being looked at.
    """
    progress = progress or (lambda sentence: None)
    rows = _first(subject, rows, tokens)
    progress(f"Self-check: {subject.hook_point}, {rows.size:,} tokens")
    h = _counted(subject, rows, subject.hook_point)
    variance, l0 = _variance_and_l0(subject.sae, h)
    # Sums of the clean, the reconstructed and the zero-ablated loss, then the number of predictions.
    *sums, count = summary.losses(subject, Encoder(subject.sae, "off"), rows)
    clean, reconstructed, zero = (total / max(count, 1) for total in sums)
    # Nats. Where zeros cost next to nothing, the loss recovered would be a ratio of roundings.
    gap = zero - clean
    figures = SelfCheck(
        tokens=len(h),
        explained_variance=_finite(variance),
        l0=l0,
        loss_recovered=_finite((zero - reconstructed) / gap) if count and gap > 0.01 else None,
        loss_clean=_finite(clean) if count else None,
    )
    findings = _findings(figures, subject.d_sae)
    if not findings:
        return figures
    others = _better(subject, rows, variance, progress)
    return replace(figures, findings=(*findings, *_advice(subject, others)), others=tuple(others))


def recompute(subject: Subject, rows: np.ndarray, features, at_rows, positions) -> np.ndarray:
    """The activations of features at corpus positions, from the tokens. All [n] -> [n] float32"""
    activations = np.zeros(len(features), np.float32)
    for row in np.unique(at_rows):
        # All features that are asked for in this row share its forward.
        chosen = np.flatnonzero(at_rows == row)
        f = subject.sae.encode(subject.activations(rows[row].astype(np.int64))[0])  # [tokens, d_sae]
        activations[chosen] = f[positions[chosen], features[chosen]].cpu().numpy()
    return activations


def _first(subject: Subject, rows: np.ndarray, tokens: int) -> np.ndarray:
    counted = counted_tokens(rows[:tokens], subject.vocabulary.special)
    return rows[: rows_needed(counted, min(tokens, int(counted.sum())))]


def _counted(subject: Subject, rows: np.ndarray, hook: str) -> Tensor:
    """Activations at a hook point on all tokens but special ones. [tokens, d_in]"""
    special = torch.tensor(sorted(subject.vocabulary.special), device=subject.device, dtype=torch.long)
    parts = []
    for start in range(0, len(rows), summary.ROWS_AT_ONCE):
        ids = subject.tokens(rows[start : start + summary.ROWS_AT_ONCE].astype(np.int64))  # [<= ROWS_AT_ONCE, length]
        parts.append(subject.model.activations(ids, hook)[~torch.isin(ids, special)])
    return torch.cat(parts)


def _variance_and_l0(sae: SparseAutoencoder, h: Tensor) -> tuple[float, float]:
    """1 - sum |h - h'|^2 / sum |h - mean h|^2, in float64, and the mean number of active features.

    Same as reference.explained_variance and reference.l0: float32 rounding of h'.
    """
    error = active = 0.0
    # In parts: f is dense, d_sae numbers a token.
    for part in h.split(summary.ROWS_AT_ONCE * 8):
        f = sae.encode(part)
        active += int((f != 0).sum())
        error += float((part.double() - sae.decode(f, part).double()).square().sum())
    total = float((h.double() - h.double().mean(0)).square().sum())
    return (1 - error / total if total else float("nan")), active / max(1, len(h))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _findings(check: SelfCheck, d_sae: int) -> list[str]:
    variance, recovered = check.explained_variance, check.loss_recovered
    sentences = []
    if variance is None or variance < LEAST_VARIANCE:
        shown = "not a number" if variance is None else f"{variance:.2f}"
        sentences.append(f"Explained variance {shown}, below 0: hook point or input norm is probably wrong.")
    elif variance < GOOD_VARIANCE:
        sentences.append(
            f"Explained variance {variance:.2f}; {GOOD_VARIANCE} and more is usual: the hook point, the model or the "
            "input norm may be another one, or the text is very unlike that of the training."
        )
    if check.l0 < 0.5:
        sentences.append(
            f"{check.l0:.2f} active features a token: the threshold or the encoder's bias is probably wrong."
        )
    elif check.l0 > MOST_ACTIVE * d_sae:
        sentences.append(
            f"{check.l0:,.0f} of {d_sae:,} features active on a token, more than {MOST_ACTIVE:.0%}: the pre-bias, "
            "the threshold or the input norm is probably wrong."
        )
    if recovered is not None and recovered < LEAST_RECOVERED:
        sentences.append(
            f"Loss recovered {recovered:.0%}; {LEAST_RECOVERED:.0%} and more is usual: with the reconstruction in its "
            "place the model predicts hardly better than with zeros."
        )
    return sentences


def _better(subject: Subject, rows: np.ndarray, variance: float, progress) -> list[Reading]:
    """Readings that explain clearly more than `variance` on the same tokens, best first."""
    rows = _first(subject, rows, TOKENS_FOR_OTHERS)
    readings = []
    for hook in _nearest_first(subject)[: MOST_OTHERS + 1]:
        progress(f"Self-check: the same weights at {hook}")
        h = _counted(subject, rows, hook)
        for norm, sae in _normed(subject.sae, h):
            if (hook, norm) != (subject.hook_point, subject.sae.config.input_norm):
                readings.append(Reading(hook, norm, _variance_and_l0(sae, h)[0]))
    # Below 0 an SAE explains less than the mean activation does: another reading has to be better than that mean.
    least = BETTER_BY + (max(variance, 0) if np.isfinite(variance) else 0)
    better = [reading for reading in readings if reading.explained_variance > least]  # NaN is not
    return sorted(better, key=lambda reading: -reading.explained_variance)[:3]


def _nearest_first(subject: Subject) -> list[str]:
    """Hook points of the SAE's width, its stated one first, then those of its block, then outwards."""
    stated, width = subject.hook_point, subject.sae.config.d_in
    hooks = [hook for hook, wide in subject.model.hook_points.items() if wide == width]
    return sorted(hooks, key=lambda hook: (hook != stated, abs(layer_of(hook) - layer_of(stated))))


def _normed(sae: SparseAutoencoder, h: Tensor) -> Iterator[tuple[str, SparseAutoencoder]]:
    """The same weights under every input norm, and for activations scaled to a mean length of sqrt(d_in)."""
    for norm in INPUT_NORMS:
        yield norm, SparseAutoencoder(replace(sae.config, input_norm=norm), *sae._weights())
    scale = float(sae.config.d_in**0.5 / h.norm(dim=-1).mean())
    plain = replace(sae.config, input_norm="none")
    # Trained on h * scale, the SAE reads W_enc * scale and writes (W_dec, b_dec) / scale, as `assemble` folds it.
    scaled = (sae.W_enc * scale, sae.W_dec / scale, sae.b_enc, sae.b_dec / scale, sae.threshold)
    yield "scaled", SparseAutoencoder(plain, *scaled)


def _advice(subject: Subject, others: list[Reading]) -> list[str]:
    if others:
        return [f"The same weights {others[0]}."]
    width = subject.sae.config.d_in
    return [
        f"No other hook point of width {width:,} and no other input norm gives clearly more: is it the right model?"
    ]
