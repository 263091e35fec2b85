"""What would a reader see of features that nobody trained? Plain neurons and random directions, on the same rows.

A control is the projection of what the hook point holds on a direction, above the level that it exceeds on as large a
share of the tokens as a feature of the SAE does: of all of an SAE's features, random directions are a random SAE of
equal L0, with the same densities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..activity.examples import choose_examples
from ..activity.top_examples import TokenLayout
from ..corpus.token_rows import counted_mask
from ..results import FeatureStatistics
from ..sae.sae import SAEConfig, SparseAutoencoder
from ..store.active_entries import FeatureEntries
from ..subject import Subject
from .single_features import as_statistics

NEURONS, RANDOM = "neurons", "random"
BATCH = 16  # rows that the model reads at a time
Say = Callable[[int, int], None]


@dataclass(frozen=True)
class ControlFeatures:
    """Of each direction what pages show of a feature, and the tokens on which it is active."""

    features: list[FeatureStatistics]
    tokens: list[np.ndarray]  # [n] each, ascending: row * width + position behind what is not counted


def unit_directions(kind: str, numbers: Sequence[int], d_in: int, seed: int) -> torch.Tensor:
    """Of plain neurons (at other hook points its axes) by their numbers, or of random directions by theirs: the same
    number is the same direction, whichever others are asked for. [n, d_in] float32, of length one"""
    if kind == NEURONS:
        return torch.nn.functional.one_hot(torch.as_tensor(numbers), d_in).float()
    drawn = np.stack([np.random.default_rng([seed, number]).standard_normal(d_in) for number in numbers])
    return torch.nn.functional.normalize(torch.from_numpy(drawn).float(), dim=1)


def control_features(
    subject: Subject,
    rows: np.ndarray,
    first: int,
    directions: torch.Tensor,
    densities: Sequence[float],
    say: Say = lambda done, total: None,
) -> ControlFeatures:
    """Of `directions` [n, d_in] on `rows` [rows, length], `first` positions of each not counted. `say` may raise to
    stop. Memory: 4 bytes a token and direction."""
    layout = TokenLayout(np.asarray(rows), first)
    counted = counted_mask(layout.rows[:, first:], subject.vocabulary.special).ravel()  # [rows * width]
    projected = _projected(subject, layout, directions, say)
    entries = []
    for number, (values, density) in enumerate(zip(projected, densities, strict=True)):
        tokens, above = _strongest(values, counted, max(1, round(density * int(counted.sum()))))
        entries.append(FeatureEntries(number, tokens, above))
    alone = replace(subject, sae=_dictionary(subject, directions))
    chosen = choose_examples(entries, layout, seed=0)
    found = as_statistics(chosen, alone, int(counted.sum()))
    return ControlFeatures(list(found), [each.tokens.astype(np.int64) for each in entries])


@torch.no_grad()
def _projected(subject: Subject, layout: TokenLayout, directions: torch.Tensor, say: Say) -> np.ndarray:
    """[n, rows * width] float32"""
    columns = directions.T.to(subject.device)  # [d_in, n]
    found = np.empty((columns.shape[1], len(layout.rows) * layout.width), np.float32)
    for start in range(0, len(layout.rows), BATCH):
        ids = layout.rows[start : start + BATCH].astype(np.int64)
        held = subject.activations(ids)[:, layout.first :].float() @ columns  # [rows, width, n]
        # A token's number is row * width + position behind `first`.
        place = slice(start * layout.width, (start + len(ids)) * layout.width)
        found[:, place] = held.flatten(0, 1).T.cpu().numpy()
        say(min(start + BATCH, len(layout.rows)), len(layout.rows))
    return found


def _strongest(values: np.ndarray, counted: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` counted tokens of the largest values, ascending, and how far each is above the largest value that is
    left out. [<= count] each"""
    there = np.flatnonzero(counted)
    count = min(count, len(there) - 1)
    order = np.argpartition(-values[there], count)
    level = values[there[order[count]]]  # the largest value that does not count as active
    tokens = np.sort(there[order[:count]])
    above = values[tokens] - level
    tokens = tokens[above > 0]  # equal to the level: nothing tells it from those that are left out
    return tokens.astype(np.uint32), above[above > 0]


def _dictionary(subject: Subject, directions: torch.Tensor) -> SparseAutoencoder:
    """An SAE that these are the decoder rows of: its logit effects are theirs."""
    n, d_in = directions.shape
    zeros = torch.zeros
    config = SAEConfig(d_in=d_in, d_sae=n, hook_point=subject.hook_point)
    return SparseAutoencoder(config, directions.T, directions, zeros(n), zeros(d_in)).to(subject.device)
