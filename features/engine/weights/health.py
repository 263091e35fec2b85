"""Is a dictionary broken in a way that errors and densities do not show? Read off its weights alone.

Features that saw few gradients can drift along one direction until they all fire on the same few tokens. What they
rebuild looks right, none is dead, and their decoder rows differ; their encoder columns do not. The original page met
such ultra-rare features ("lots of the features are very correlated"): Bricken et al. (2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..results import LEAST_FEATURES, RARE_BELOW, Encoders, Health
from ..sae.sae import SparseAutoencoder
from ..store.active_entries import ActiveEntries

APART_BELOW = 0.2  # cosine of encoder and decoder
ALONG = 0.5  # cosine with the common direction
DIRECTIONS, ROUNDS = 8, 30  # of the subspace iteration for the first singular direction
CONVERGED = 1e-6  # relative change of a squared length at which it ends
COLUMNS_AT_ONCE = 4096


@dataclass(frozen=True)
class Directions:
    """How alike unit vectors are."""

    features: int
    mean_cosine: float  # over all pairs
    first_share: float  # of their squared length, on the first singular direction
    first: Tensor  # that direction [d]


class EncoderColumns:
    """Of a dictionary whose features `alive` [n], ascending, are active: what more than one figure rests on, once."""

    def __init__(self, sae: SparseAutoencoder, alive: np.ndarray):
        self.sae, self.alive = sae, alive

    @cached_property
    def common(self) -> Directions | None:
        return common_direction(self.sae.W_enc, self.alive)

    @cached_property
    def cosines(self) -> np.ndarray:
        """With the decoder's row, of all features. [d_sae]"""
        return encoder_decoder_cosine(self.sae)


def of_weights(columns: EncoderColumns, entries: ActiveEntries, tokens: int) -> Health:
    """What can be told without reading positions. `entries` on `tokens` counted tokens."""
    counts, alive = entries.counts, columns.alive
    # A stable order: features of equal counts stand in the order of their indices.
    rarest = alive[np.argsort(counts[alive], kind="stable")][: len(alive) // 2]
    every, half = columns.common, common_direction(columns.sae.W_enc, rarest)
    cosines = columns.cosines[alive]
    cosines = cosines[np.isfinite(cosines)]
    return Health(
        directions=every.features if every else 0,
        common_direction=every.mean_cosine if every else None,
        first_share=every.first_share if every else None,
        common_direction_rarest=half.mean_cosine if half else None,
        first_share_rarest=half.first_share if half else None,
        encoder_decoder_cosine=float(np.median(cosines)) if len(cosines) else None,
        apart=int((cosines < APART_BELOW).sum()),
        rare=int((counts < RARE_BELOW * tokens).sum()),
        largest_l0=entries.largest_l0(),
    )


def common_direction(W_enc: Tensor, features: np.ndarray) -> Directions | None:
    """Of these features' encoder columns, [d_in, d_sae], those of zeros left out; None of fewer than LEAST_FEATURES.

    (|sum u|^2 - n) / (n (n - 1)) over n unit columns u: the mean of reference.cosine over pairs, float32 rounding.
    """
    chosen = torch.from_numpy(features).to(W_enc.device)
    units = W_enc[:, chosen].T.float()  # [n, d_in]
    lengths = units.norm(dim=1)
    units = units[lengths > 0] / lengths[lengths > 0, None]
    n = len(units)
    if n < LEAST_FEATURES:
        return None
    # |sum u|^2 has each pair twice and each column with itself once: less n it is the sum over ordered pairs.
    together = float(units.sum(0, dtype=torch.float64).square().sum())
    squared, first = first_direction(units)
    share = squared / float(units.square().sum(dtype=torch.float64))
    return Directions(n, (together - n) / (n * (n - 1)), share, first)


def on_common_direction(columns: EncoderColumns) -> np.ndarray | None:
    """Which features' encoder columns have a cosine above ALONG, of either sign, with the first singular direction of
    those that are alive. [d_sae] bool; None of fewer than LEAST_FEATURES. Of a healthy dictionary hardly any."""
    if columns.common is None:
        return None
    W_enc = columns.sae.W_enc
    # Columns of zeros point nowhere: the 0 / 0 of their cosine is not above anything.
    cosines = (columns.common.first @ W_enc.float()) / W_enc.norm(dim=0)
    return (cosines.abs() > ALONG).cpu().numpy()


def first_direction(units: Tensor) -> tuple[float, Tensor]:
    """Squared length of rows [n, d] on their first singular direction, and that direction [d], by subspace iteration
    (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011)."""
    d = units.shape[1]
    start = torch.randn(d, min(DIRECTIONS, d), generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start.to(units))[0]  # [d, DIRECTIONS]
    before = 0.0
    for _ in range(ROUNDS):
        # units^T units [d, d] is never formed: two thin products cost less, and QR keeps the columns apart.
        basis, lengths = torch.linalg.qr(units.T @ (units @ basis))
        # The first column is the best direction so far, and its length the squared length along it.
        longest = abs(float(lengths[0, 0]))
        if longest - before <= CONVERGED * longest:
            break
        before = longest
    projected = (units @ basis).double()  # [n, DIRECTIONS]
    # Rayleigh-Ritz: the best direction within the subspace is the last eigenvector of its small Gram matrix.
    values, vectors = torch.linalg.eigh(projected.T @ projected)  # ascending
    return float(values[-1]), basis @ vectors[:, -1].to(basis)


def encoders(columns: EncoderColumns, swarm: np.ndarray | None = None) -> Encoders:
    """Of all features; `swarm`, where it was looked for: indices of those that are of one."""
    members, sae = None, columns.sae
    if swarm is not None:
        members = np.zeros(sae.config.d_sae, bool)
        members[swarm] = True
    return Encoders(
        norms=sae.W_enc.norm(dim=0).float().cpu().numpy(),
        cosines=columns.cosines.astype(np.float32),
        common=on_common_direction(columns),
        swarm=members,
    )


def encoder_decoder_cosine(sae: SparseAutoencoder) -> np.ndarray:
    """Of each feature's encoder column and decoder row; NaN where one is all zeros. [d_sae] float64"""
    parts = torch.arange(sae.config.d_sae, device=sae.device).split(COLUMNS_AT_ONCE)
    return row_cosines((sae.W_enc[:, part].T, sae.W_dec[part]) for part in parts)


def row_cosines(blocks: Iterable[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Of each row of one matrix with the row of the same place of another, which come in `blocks` of rows [n, d] of
    both; NaN where one is all zeros. [rows] float64. Same as the diagonal of reference.cosine: exact of float32
    weights."""
    found = []
    for rows, others in ((rows.double(), others.double()) for rows, others in blocks):
        # A row of zeros has no direction: the 0 / 0 below is the NaN that says so.
        found.append((rows * others).sum(1) / (rows.norm(dim=1) * others.norm(dim=1)))
    return torch.cat(found).cpu().numpy()
