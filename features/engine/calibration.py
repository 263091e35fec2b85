"""Which number do the files leave open that text can tell? The threshold of a BatchTopK SAE, a scaling factor.

Each becomes an answer, as if somebody had given it: whoever loads the SAE later reads the same.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from .other_readings import PART, fit_of, fits_l0, scaled, unit_scale
from .sae.sae import SparseAutoencoder
from .self_check import TOKENS, TOKENS_FOR_OTHERS, counted_activations, first_rows
from .subject import Subject

FACTORS = [2 ** (step / 4) for step in range(-4, 5)]  # of the unit scale, that are tried
AS_GOOD = 0.005  # explained variance by which factors do not differ


@dataclass(frozen=True)
class Calibration:
    """A subject with nothing left open, the answers it is read with, and a sentence for each that text has told."""

    subject: Subject
    answers: dict
    chosen: tuple[str, ...] = ()  # names of answers that were chosen here
    notes: tuple[str, ...] = field(default=())


def calibrate(
    subject: Subject, rows: np.ndarray, answers: dict, read: Callable[[dict], SparseAutoencoder], first: int = 0
) -> Calibration:
    """What `rows` [n, length] tell of an SAE that was read with `answers`; `read(answers)` reads it with others.
    Positions of rows in front of `first` do not count."""
    done = Calibration(subject, dict(answers))
    for choose in (_scale, _threshold):
        done = choose(done, rows, read, first)
    return done


def _sample(subject: Subject, rows: np.ndarray, tokens: int, first: int) -> Tensor:
    """Activations at the hook point on the first counted tokens, about so many. [n, d_in]"""
    return counted_activations(subject, first_rows(subject, rows, tokens, first), first)


def _scale(done: Calibration, rows: np.ndarray, read, first: int) -> Calibration:
    """The scaling factor that explains most, where one is to be measured."""
    sae = done.subject.sae
    if not sae.config.provenance.get("measures_scale"):
        return done
    h = _sample(done.subject, rows, TOKENS_FOR_OTHERS, first)
    unit = unit_scale(sae, h)
    explained = {
        scale: fit_of(scaled(sae, scale), h).explained_variance for scale in {1.0, *(unit * f for f in FACTORS)}
    }
    explained = {scale: value for scale, value in explained.items() if np.isfinite(value)} or {1.0: float("nan")}
    most = max(explained.values())
    # In training it was sqrt(d_in) / mean length, of other text: of those that explain as much, the nearest to it.
    as_good = [scale for scale, value in explained.items() if not value < most - AS_GOOD]
    best = min(as_good, key=lambda scale: abs(math.log(scale / unit)))
    note = (
        f"scaling_factor {best:.5g} was measured: it explains most of {len(h):,} tokens ({explained[best]:.2f}; 1 "
        f"explains {explained.get(1.0, float('nan')):.2f}). sqrt(d_in) / mean |activation| is {unit:.5g} there."
    )
    return _with(done, read, note, scaling_factor=f"{best:.6g}")


def _threshold(done: Calibration, rows: np.ndarray, read, first: int) -> Calibration:
    """The threshold that lets k features be active on average, where the file's own has not settled."""
    sae, said = done.subject.sae, done.subject.sae.config.provenance.get("batch_topk")
    if not said or said["settled"] or not said["k"]:
        return done
    k, stored = said["k"], said["threshold"]
    h = _sample(done.subject, rows, TOKENS, first)
    learnt = stored is not None and stored >= 0
    own = fit_of(sae, h) if learnt else None
    if learnt and fits_l0(sae, own.l0) and done.answers.get("threshold") != "k_on_average":
        return done
    value = threshold_for(sae, h, k)
    chosen = SparseAutoencoder(
        replace(sae.config, activation="jumprelu", k=None), *sae._weights()[:4], torch.full_like(sae.b_enc, value)
    )
    fit = fit_of(chosen, h)
    # The file's own may let few or many be active because the text, or the place, is another one.
    if learnt and not fit.explained_variance > own.explained_variance:
        return done
    whose = "no file stores one"
    if stored is not None:
        with_own = f", with which {own.l0:,.0f} are" if learnt else ""
        whose = f"the file's own, {stored:.4g}{with_own}, is not settled"
    note = (
        f"threshold {value:.3g} chosen so that {k:,} features fire on average (on {len(h):,} tokens: {fit.l0:,.1f}); "
        f"{whose}. The answer threshold=per_token keeps the {k:,} largest of each token"
        f"{', threshold=file reads with the own one' if stored is not None else ''}."
    )
    return _with(done, read, note, threshold=f"{value:.6g}")


def threshold_for(sae: SparseAutoencoder, h: Tensor, k: int) -> float:
    """Above which value k features are active on average on activations [tokens, d_in]: as in training, the k * tokens
    largest of all are kept. 0 where fewer are positive. Same as reference.batch_topk_threshold: between the smallest
    value that is kept and the next."""
    plain = SparseAutoencoder(replace(sae.config, activation="relu", k=None), *sae._weights()[:4])
    wanted, largest = k * len(h) + 1, h.new_zeros(0)  # and the first that is not kept
    for part in h.split(PART):
        values = plain.encode(part).flatten()
        # What cannot be among the `wanted` largest is dropped now and then: memory stays at twice of them.
        largest = torch.cat([largest, values[values > 0]])
        if len(largest) > 2 * wanted:
            largest = largest.topk(wanted).values
    if len(largest) < wanted:
        return 0.0
    # The smallest value that is kept, and the largest that is not.
    last_two = largest.topk(wanted).values[-2:].double()
    return float(last_two.mean())


def _with(done: Calibration, read, note: str, **answer: str) -> Calibration:
    answers = done.answers | answer
    subject = replace(done.subject, sae=read(answers).to(done.subject.device))
    return Calibration(subject, answers, (*done.chosen, *answer), (*done.notes, note))
