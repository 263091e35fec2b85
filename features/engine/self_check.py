"""Was this SAE read as it was meant? A few thousand tokens through model and SAE, and what is wrong if not.

Also `recompute`: stored activations once more from their tokens.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from .corpus.token_rows import counted_mask, counted_tokens, rows_needed
from .encoder.encoder import Encoder
from .model.hook_points import layer_of
from .other_readings import MOST_ACTIVE, Fit, Reading, better_at, better_elsewhere, fit_of, fits_l0, trained_k
from .subject import Subject
from .variance import VarianceShares, first_counted, variance_shares
from .weights import summary

TOKENS, LEAST_TOKENS = 2000, 1000  # looked at: the former, of a large model fewer, but never below the latter
TOKENS_WORK = 1.2e11  # multiplications, about, that they may take between the two bounds
MOST_FOR_LOSSES, LEAST_FOR_LOSSES = 1024, 256  # of these: each takes three passes and the logits of all
LOSS_WORK = 1e11  # multiplications, about, that the losses may take: between the two bounds
TOKENS_FOR_OTHERS = 512  # looked at at other hook points
TOKENS_AT_HOOK = 256  # looked at for every other reading at the hook point
LEAST_VARIANCE, GOOD_VARIANCE = 0.0, 0.4
LEAST_RECOVERED = 0.3
WORST_VARIANCE = -1.0  # of an SAE that is merely poor
FOLLOWS = 0.3  # mean correlation from which on a reconstruction is one of these very activations


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
    correlation: float | None = None  # of activations and reconstruction, mean over dimensions
    poor: bool = False  # read as it was meant, as far as can be told, and not good
    variance: VarianceShares | None = None  # where it lies; None of checks that did not look

    @property
    def passed(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict:
        shares = asdict(self.variance) if self.variance else {}
        return {
            **asdict(self),
            "variance": {name: _finite(share) for name, share in shares.items()} or None,
            "passed": self.passed,
            "findings": list(self.findings),
            "others": list(map(str, self.others)),
        }


def check_sae(
    subject: Subject,
    rows: np.ndarray,
    tokens: int | None = None,
    progress: Callable | None = None,
    first: int = 0,
) -> SelfCheck:
    """Look at the first `tokens` counted tokens of `rows` (all, where there are fewer); if not given, at 2,000, of a
    large model at down to 1,000.

    Where a figure is out of range, other readings at the hook point are tried, then, unless one of them explains it,
    all other hook points of the same width. `progress(sentence)` hears what is being looked at; positions of rows in
    front of `first` do not count.
    """
    progress = progress or (lambda sentence: None)
    rows = first_rows(subject, rows, tokens or _tokens_to_check(subject), first)
    progress(f"Self-check: {subject.hook_point}, {rows.size:,} tokens")
    counted = _counted(subject, rows, first)  # [n, length]
    h = counted_activations(subject, rows, first)  # [tokens, d_in]
    fit = fit_of(subject.sae, h)
    figures = _figures(subject, rows, fit, len(h))
    is_first = torch.from_numpy(first_counted(counted)[counted]).to(h.device)  # of its row, [tokens]
    figures["variance"] = variance_shares(subject.sae, h, is_first)
    if not _findings(figures, subject.d_sae):
        return SelfCheck(**figures)
    progress(f"Self-check: other readings of the same weights at {subject.hook_point}")
    sample = h[:: max(1, len(h) // TOKENS_AT_HOOK)]
    others = better_at(subject, sample, fit_of(subject.sae, sample))
    if not others:
        progress("Self-check: the same weights at all other hook points")
        few = first_rows(subject, rows, TOKENS_FOR_OTHERS, first)
        others = better_elsewhere(subject, few, _counted(subject, few, first))
    poor = not others and _is_read_as_meant(subject, fit)
    findings = (*_findings(figures, subject.d_sae, poor), _advice(subject, fit, others, poor))
    return SelfCheck(**figures, findings=findings, others=tuple(others), poor=poor)


def recompute(subject: Subject, rows: np.ndarray, features, at_rows, positions) -> np.ndarray:
    """The activations of features at corpus positions, from the tokens. All [n] -> [n] float32"""
    activations = np.zeros(len(features), np.float32)
    for row in np.unique(at_rows):
        # All features that are asked for in this row share its forward.
        chosen = np.flatnonzero(at_rows == row)
        f = subject.sae.encode(subject.activations(rows[row].astype(np.int64))[0])  # [tokens, d_sae]
        activations[chosen] = f[positions[chosen], features[chosen]].cpu().numpy()
    return activations


def first_rows(subject: Subject, rows: np.ndarray, tokens: int, first: int = 0) -> np.ndarray:
    """The first rows that hold so many counted tokens from position `first` on; all where there are fewer."""
    # A row without a counted token is rare: so many rows hold about as many tokens, or more.
    counted = counted_tokens(rows[:tokens, first:], subject.vocabulary.special)
    return rows[: rows_needed(counted, min(tokens, int(counted.sum())))]


def counted_activations(subject: Subject, rows: np.ndarray, first: int = 0) -> Tensor:
    """Activations at the hook point on tokens of rows [n, length], those from position `first` of their row on that are
    not special. [tokens, d_in]"""
    counted, parts = _counted(subject, rows, first), []
    for start in range(0, len(rows), summary.ROWS_AT_ONCE):
        ids = subject.tokens(rows[start : start + summary.ROWS_AT_ONCE].astype(np.int64))  # [<= ROWS_AT_ONCE, length]
        chosen = torch.from_numpy(counted[start : start + summary.ROWS_AT_ONCE]).to(subject.device)
        parts.append(subject.activations(ids)[chosen])
    return torch.cat(parts)


def _figures(subject: Subject, rows: np.ndarray, fit: Fit, tokens: int) -> dict:
    """The figures of a SelfCheck."""
    for_losses = rows[: max(1, _tokens_for_losses(subject.model) // rows.shape[1])]
    # Sums of the clean, the reconstructed and the zero-ablated loss, then the number of predictions.
    *sums, count = summary.losses(subject, Encoder(subject.sae, "off"), for_losses)
    clean, reconstructed, zero = (total / max(count, 1) for total in sums)
    # Nats. Where zeros cost next to nothing, the loss recovered would be a ratio of roundings.
    gap = zero - clean
    return {
        "tokens": tokens,
        "explained_variance": _finite(fit.explained_variance),
        "l0": fit.l0,
        "correlation": _finite(fit.correlation),
        "loss_recovered": _finite((zero - reconstructed) / gap) if count and gap > 0.01 else None,
        "loss_clean": _finite(clean) if count else None,
    }


def _counted(subject: Subject, rows: np.ndarray, first: int = 0) -> np.ndarray:
    """Which tokens count: those from position `first` of their row on that are not special. [n, length] bool"""
    return counted_mask(rows, subject.vocabulary.special) & (np.arange(rows.shape[1]) >= first)


def _tokens_to_check(subject: Subject) -> int:
    # Through the blocks up to the hook point, and both matrices of the SAE.
    weights = (layer_of(subject.hook_point) + 1) * _weights_of_a_block(subject.model) + 2 * subject.sae.W_enc.numel()
    return int(min(TOKENS, max(LEAST_TOKENS, TOKENS_WORK / weights)))


def _weights_of_a_block(model) -> int:
    """Of a transformer's, about; each is multiplied once a token and pass."""
    return 12 * model.d_model**2


def _tokens_for_losses(model) -> int:
    weights = model.n_layers * _weights_of_a_block(model) + model.d_model * model.d_vocab
    return int(min(MOST_FOR_LOSSES, max(LEAST_FOR_LOSSES, LOSS_WORK / (3 * weights))))


def _is_read_as_meant(subject: Subject, fit: Fit) -> bool:
    """Whether nothing speaks against the reading of an SAE that explains little: its reconstruction follows the
    activations and is no multiple of them, and its L0 fits k. Where no k is known, any feature has to be active at all:
    after few training steps half of them may be."""
    l0_fits = fits_l0(subject.sae, fit.l0) if trained_k(subject.sae) else fit.l0 >= 0.5
    return l0_fits and fit.correlation >= FOLLOWS and fit.explained_variance >= WORST_VARIANCE


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _findings(figures: dict, d_sae: int, poor: bool = False) -> list[str]:
    """A sentence for each figure out of range; of a `poor` SAE without a guess at how it was misread."""
    variance, recovered, l0 = figures["explained_variance"], figures["loss_recovered"], figures["l0"]
    sentences = []
    if variance is None or variance < LEAST_VARIANCE:
        shown = "not a number" if variance is None else f"{variance:.2f}"
        cause = "." if poor else ": hook point or input norm is probably wrong."
        sentences.append(f"Explained variance {shown}, below 0{cause}")
    elif variance < GOOD_VARIANCE:
        cause = (
            "."
            if poor
            else ". An early checkpoint can look like this; otherwise the model, hook point or norm may be wrong, or "
            "the text very unlike that of the training."
        )
        sentences.append(f"Explained variance {variance:.2f} is low (usually above {GOOD_VARIANCE}){cause}")
    if l0 < 0.5:
        sentences.append(f"{l0:.2f} active features a token: the threshold or the encoder's bias is probably wrong.")
    elif l0 > MOST_ACTIVE * d_sae:
        cause = "." if poor else ": the pre-bias, the threshold or the input norm is probably wrong."
        sentences.append(f"{l0:,.0f} of {d_sae:,} features active on a token, more than {MOST_ACTIVE:.0%}{cause}")
    if recovered is not None and recovered < LEAST_RECOVERED:
        sentences.append(
            f"Loss recovered {recovered:.0%} is low (usually above {LEAST_RECOVERED:.0%}): with the reconstruction in "
            "its place the model predicts hardly better than with zeros."
        )
    return sentences


def _advice(subject: Subject, fit: Fit, others: list[Reading], poor: bool) -> str:
    if others:
        better = others[0]
        return (
            f"The same weights {better} (mean correlation {better.correlation:.2f} instead of {fit.correlation:.2f})."
        )
    if poor:
        k = trained_k(subject.sae)
        active = f", and {fit.l0:,.1f} features are active on a token, k = {k:,}" if k else ""
        return (
            f"It is read as it was meant, as far as can be told: the reconstruction follows the activations (mean "
            f"correlation {fit.correlation:.2f}){active}. It has learnt little of this text: after few training steps, "
            "or from other text."
        )
    width = subject.sae.config.d_in
    return (
        f"No other hook point of width {width:,} and no other input norm gives clearly more (mean correlation of "
        f"activations and reconstruction {fit.correlation:.2f}). Check whether it is the right model."
    )
