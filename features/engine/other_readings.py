"""How else may the same weights be meant? Other readings at their hook point, then other hook points, each with how
well it fits, and with the option that asks for it.

Explained variance alone is no evidence for another hook point: a few outlying dimensions carry most of the variance of
a residual stream, and layers are alike. So a reading elsewhere has to follow the activations clearly better in the mean
over all dimensions, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .model.hook_points import SITES, layer_and_site, layer_of
from .sae.sae import TOKEN_NORMS, SparseAutoencoder
from .subject import Subject

BETTER_BY = 0.1  # explained variance, and elsewhere mean correlation, that another reading must gain to be named
PLENTY = 0.4  # explained variance that is usual
NAMED = 3  # readings
MOST_ACTIVE = 0.2  # of all features, on a token
WORK = 1.5e11  # multiplications, about, that all other hook points may take
REFINED_TOKENS = 256  # at which a promising hook point is looked at once more
LEAST_TOKENS = 32  # at which another hook point is looked at
KEPT_BYTES = 1 << 30  # of activations at other hook points
PART, PART_NUMBERS = 256, 1 << 22  # tokens encoded at a time, fewer where f, d_sae numbers a token, would be larger


@dataclass(frozen=True)
class Fit:
    """How well an SAE reconstructs activations."""

    explained_variance: float  # 1 - sum |h - h'|^2 / sum |h - mean h|^2
    l0: float
    correlation: float  # of h and h', mean over the hook point's dimensions: outlying ones count as one each


@dataclass(frozen=True)
class Reading:
    """The same weights read another way, how that fits, and the option that reads them so."""

    hook_point: str
    input_norm: str  # in words where it is not the SAE's own: "layer_norm", "scaled", "center" ...
    explained_variance: float
    correlation: float = float("nan")
    option: str = ""

    def __str__(self):
        norm = {
            "": "",
            "none": " without an input norm",
            "scaled": " with activations scaled to a mean length of sqrt(d_in)",
            "center": " without the mean of each token's activations",
            "pre-bias": " with b_dec subtracted from the input",
            "no pre-bias": " without b_dec subtracted from the input",
        }
        how = norm.get(self.input_norm, f" with input norm {self.input_norm}")
        option = f": {self.option}" if self.option else ""
        return f"at {self.hook_point}{how} give {self.explained_variance:.2f}{option}"


@torch.no_grad()
def fit_of(sae: SparseAutoencoder, h: Tensor, centred_only: bool = False) -> Fit:
    """How well it fits activations [tokens, d_in]; `centred_only`: apart from the mean of each token's values.

    Same as reference.explained_variance and reference.l0: float32 rounding of h'.
    """
    return _fit(h, *_rebuilt(sae, h), centred_only)


def _fits_of(sae: SparseAutoencoder, samples: list[Tensor]) -> list[Fit]:
    """`fit_of` of each of several samples [tokens, d_in]: a few tokens alone would leave most of a product unused."""
    # One product for all samples, cut into them again.
    sizes = [len(h) for h in samples]
    back, active = _rebuilt(sae, torch.cat(samples))
    parts = zip(samples, back.split(sizes), active.split(sizes), strict=True)
    return [_fit(h, own_back, own_active) for h, own_back, own_active in parts]


@torch.no_grad()
def _rebuilt(sae: SparseAutoencoder, h: Tensor) -> tuple[Tensor, Tensor]:
    """The reconstruction of h [tokens, d_in], and how many features are active on each token [tokens]."""
    rebuilt, active = [], []
    for part in h.split(max(32, min(PART, PART_NUMBERS // sae.config.d_sae))):
        f = sae.encode(part)
        active.append((f != 0).sum(-1))
        rebuilt.append(sae.decode(f, part))
    return torch.cat(rebuilt), torch.cat(active)


def _fit(h: Tensor, back: Tensor, active: Tensor, centred_only: bool = False) -> Fit:
    back, h = back.double(), h.double()  # [tokens, d_in] each
    if centred_only:
        back, h = back - back.mean(-1, keepdim=True), h - h.mean(-1, keepdim=True)
    centred, back_centred = h - h.mean(0), back - back.mean(0)
    total, error = float(centred.square().sum()), float((h - back).square().sum())
    # Pearson of h and h' in each dimension: inner product of what is centred, over both lengths.
    lengths = centred.norm(dim=0) * back_centred.norm(dim=0)  # [d_in]
    along = (centred * back_centred).sum(0) / lengths.clamp_min(1e-30)  # [d_in], 0 where either is constant
    correlation = float(along[centred.norm(dim=0) > 0].mean()) if total else float("nan")
    return Fit(1 - error / total if total else float("nan"), int(active.sum()) / max(1, len(h)), correlation)


def better_at(subject: Subject, h: Tensor, fit: Fit) -> list[Reading]:
    """Readings at the SAE's own hook point that explain clearly more of h [tokens, d_in], best first."""
    readings = []
    for name, option, sae in _alternatives(subject, h) if len(h) else ():
        # A reading that is told the mean of each token must not win by that.
        told_mean = name == "center"
        other, own = fit_of(sae, h, told_mean), fit_of(subject.sae, h, True) if told_mean else fit
        if _is_better(subject.sae, own, other):
            readings.append(Reading(subject.hook_point, name, other.explained_variance, other.correlation, option))
    return _best(readings)


def _is_better(sae: SparseAutoencoder, own: Fit, other: Fit) -> bool:
    """Whether another reading at the same place explains more, and something else speaks for it too: it follows the
    activations better, its L0 fits where the other did not, or what it explains is plenty."""
    if not other.explained_variance > _least(own):  # NaN is not
        return False
    follows = other.correlation > max(own.correlation, 0.0) + BETTER_BY / 2
    # An L0 that only the other reading has as it was trained speaks for the other reading.
    fits = fits_l0(sae, other.l0) and not fits_l0(sae, own.l0)
    return follows or fits or other.explained_variance > max(PLENTY, _least(own) + BETTER_BY)


def better_elsewhere(subject: Subject, rows: np.ndarray, counted: np.ndarray) -> list[Reading]:
    """Other hook points of the SAE's width at which it clearly fits better, best first; one pass.

    rows [n, length]; `counted` [n, length] bool: the tokens that are looked at.
    """
    hooks = [hook for hook in _nearest_first(subject) if hook != subject.hook_point]
    if not hooks:
        return []
    ids = subject.tokens(rows.astype(np.int64))  # [n, length]
    at = torch.from_numpy(counted).to(subject.device)
    at = _thinned(at, KEPT_BYTES // (4 * len(hooks) * subject.sae.config.d_in))
    activations = subject.model.activations_at(ids, [subject.hook_point, *hooks], at)
    # All hook points on a few tokens, those that promise something on all.
    few = max(LEAST_TOKENS, int(WORK / (4 * len(hooks) * subject.sae.W_enc.numel())))
    fit, promising = fit_of(subject.sae, _sample(activations[subject.hook_point], REFINED_TOKENS)), []
    for hook, screened in zip(
        hooks, _fits_of(subject.sae, [_sample(activations[hook], few) for hook in hooks]), strict=True
    ):
        if screened.explained_variance > _least(fit) and screened.correlation > fit.correlation:
            promising.append((screened.explained_variance, hook))
    readings = []
    for _, hook in sorted(promising, reverse=True)[: 2 * NAMED]:
        other = fit_of(subject.sae, _sample(activations[hook], REFINED_TOKENS))
        if is_evidence(subject, fit, other):
            readings.append(Reading(hook, "", other.explained_variance, other.correlation, f"--hook {hook}"))
    return _best(readings)


def is_evidence(subject: Subject, fit: Fit, other: Fit) -> bool:
    """Whether a fit at another hook point says that the SAE belongs there."""
    return (
        other.explained_variance > _least(fit)
        and other.correlation > max(fit.correlation, 0.0) + BETTER_BY
        and (fits_l0(subject.sae, other.l0) or not fits_l0(subject.sae, fit.l0))
    )


def trained_k(sae: SparseAutoencoder) -> int | None:
    """Features a token, on average or at most, that an SAE was trained to keep; None where nothing says it."""
    return sae.config.k or (sae.config.provenance.get("batch_topk") or {}).get("k")


def fits_l0(sae: SparseAutoencoder, l0: float) -> bool:
    """Whether so many active features are what its training aimed at: k within a factor of two, or neither none nor
    more than a fifth of all where no k is known."""
    k = trained_k(sae)
    return k / 2 <= l0 <= 2 * k if k else 0.5 <= l0 <= MOST_ACTIVE * sae.config.d_sae


def scaled(sae: SparseAutoencoder, scale: float) -> SparseAutoencoder:
    """The same weights, if they were trained on activations times `scale`: as `assemble` folds a scaling factor in,
    up to the unit of f where the SAE rescales by decoder norms. Of one without an input norm, or centred."""
    weights = (sae.W_enc * scale, sae.W_dec / scale, sae.b_enc, sae.b_dec / scale, sae.threshold)
    return SparseAutoencoder(sae.config, *weights)


def unit_scale(sae: SparseAutoencoder, h: Tensor) -> float:
    """What brings activations [tokens, d_in] to a mean length of sqrt(d_in)."""
    return float(sae.config.d_in**0.5 / h.norm(dim=-1).mean())


def _alternatives(subject: Subject, h: Tensor) -> Iterator[tuple[str, str, SparseAutoencoder]]:
    """(name, option, SAE) of each other reading at the same hook point."""
    sae, config = subject.sae, subject.sae.config
    for norm in TOKEN_NORMS:
        if norm != config.input_norm and not (norm == "none" and config.input_norm == "center"):
            yield norm, _option(sae, "normalize", norm), _with(sae, input_norm=norm)
    if config.input_norm == "none":
        scale = unit_scale(sae, h)
        yield "scaled", _option(sae, "scaling_factor", f"{scale:.4g}"), scaled(sae, scale)
        _, site = layer_and_site(subject.hook_point)
        if SITES[site].component is None:  # the residual stream, or what is added to it
            option = _option(sae, "center_writing_weights", "yes")
            yield "center", option, _with(sae, input_norm="center")
    pre_bias = config.provenance.get("pre_bias")
    if pre_bias is not None and config.input_norm == "none":
        # (h - b_dec) W_enc + b_enc = h W_enc + (b_enc - b_dec W_enc): the pre-bias is a shift of the encoder's bias.
        shift = sae.b_dec @ sae.W_enc * (1 if pre_bias else -1)  # [d_sae], taken back or subtracted
        weights = (sae.W_enc, sae.W_dec, sae.b_enc + shift, sae.b_dec, sae.threshold)
        option = _option(sae, "apply_b_dec_to_input", "no" if pre_bias else "yes")
        yield "no pre-bias" if pre_bias else "pre-bias", option, SparseAutoencoder(config, *weights)


def _option(sae: SparseAutoencoder, name: str, value: str) -> str:
    """What asks for a reading: an answer where the layout takes one, else where its files say otherwise."""
    asked = sae.config.provenance.get("asked")
    if asked is None or name in asked:
        return f"--answer {name}={value}"
    configs = " and ".join(sae.config.provenance.get("configs") or [])
    if not configs:
        return f"its layout has no answer {name}, so save it as another one if you know that it is so"
    return f"{configs} says otherwise ({name}): change it there if you know that it is so"


def _sample(h: Tensor, tokens: int) -> Tensor:
    """About so many of the tokens, evenly spread. [n, d_in]"""
    return h[:: max(1, len(h) // tokens)]


def _with(sae: SparseAutoencoder, **changes) -> SparseAutoencoder:
    return SparseAutoencoder(replace(sae.config, **changes), *sae._weights())


def _least(fit: Fit) -> float:
    """What another reading has to explain: of an SAE below 0 the mean activation explains more."""
    return BETTER_BY + (max(fit.explained_variance, 0) if np.isfinite(fit.explained_variance) else 0)


def _best(readings: list[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda reading: -reading.explained_variance)[:NAMED]


def _nearest_first(subject: Subject) -> list[str]:
    """Hook points of the SAE's width, those of its block first, then outwards."""
    stated, width = subject.hook_point, subject.sae.config.d_in
    hooks = [hook for hook, wide in subject.model.hook_points.items() if wide == width]
    return sorted(hooks, key=lambda hook: abs(layer_of(hook) - layer_of(stated)))


def _thinned(at: Tensor, most: int) -> Tensor:
    """The mask with at most about so many of its tokens, evenly spread."""
    # Every s-th of the tokens, s so large that no more than `most` are kept.  [tokens]
    indices = at.flatten().nonzero().squeeze(1)
    kept = indices[:: max(1, -(-len(indices) // max(LEAST_TOKENS, most)))]
    thin = torch.zeros_like(at).flatten()
    thin[kept] = True
    return thin.view_as(at)
