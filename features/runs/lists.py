"""Which features were born, died, changed ... at a checkpoint? And which stand behind a bar of its histograms?"""

from dataclasses import dataclass

import numpy as np

from ..browse.sae_health import rare_untold
from ..engine.results import DENSE_ABOVE, RARE_BELOW, is_told
from ..engine.training.record import BOS_ONLY, MERGED, ONE_POSITION, ONE_TOKEN, SPLIT
from ..engine.training.turnover import FIRED, changed, turnover
from ..messages import BadRequest
from ..models import Checkpoint
from . import records

FATES = ("born", "died", "revived")
TWIN = 0.9  # decoder cosine
NAMES = {  # as addresses name them -> what a page says of them
    "born": "were silent at the checkpoint before, and never heard earlier",
    "died": f"fired at least {FIRED} times at the checkpoint before and never here",
    "revived": "were silent at the checkpoint before, but heard earlier",
    "changed": "do something else than at the checkpoint before: a decoder cosine below 0.7, or fewer than 5 of the 20 "
    "strongest positions in common",
    "split": "descend from the same feature of the checkpoint before as another here: that one has split",
    "merged": "are the nearest to two or more features of the checkpoint before: these have merged",
    "dead": "never fired on the run's rows",
    "rare": "have a density below 1 in 10,000",
    "dense": "fire on more than 10 % of tokens",
    "twins": "have a decoder cosine above 0.9 to another feature",
    "one-token": "have at least 90 % of their activations on one token",
    "one-position": "have at least 90 % of their activations at one position of the row",
    "bos-only": "fire on BOS and on no counted token",
    "all": "are in the dictionary",
}
RANGES = ("density", "encoder_norm", "decoder_norm", "encoder_decoder", "nearest", "maximum")  # of bars
ORDERS = {"changed": "before", "twins": "nearest"}  # what a list is ordered by, where it is not the density


@dataclass(frozen=True)
class FeatureRows:
    """Some features of a checkpoint, in order."""

    name: str
    sentence: str
    indices: np.ndarray  # [n]
    counts: np.ndarray  # [d_sae]
    records: np.ndarray  # [d_sae]
    tokens: int


def features_in(checkpoint: Checkpoint, name: str, low: float | None = None, high: float | None = None) -> FeatureRows:
    """Of a list of NAMES, or with a figure of RANGES from low to high. Raises BadRequest for other names."""
    every = list(records.with_records(checkpoint.run))
    at = next(n for n, each in enumerate(every) if each.pk == checkpoint.pk)
    found, tokens = records.records_of(checkpoint), checkpoint.run.rows.tokens
    # Births need all that came before, changes the checkpoint before, others this one alone.
    since = 0 if name in FATES else max(0, at - 1)
    counts = records.counts_of(every[since : at + 1])
    if name in RANGES:
        values = _figure(name, counts[-1], found, tokens)
        chosen = (values >= low) & (values < high)
        sentence = f"have a {name.replace('_', ' ')} from {low:.3g} to {high:.3g}"
    elif name == "rare" and not is_told(RARE_BELOW, tokens):
        raise BadRequest(f"Which features {NAMES[name]} is {rare_untold(tokens)}.")
    elif name in NAMES:
        chosen, sentence = _chosen(name, every[at - 1] if at else None, counts, found, tokens), NAMES[name]
    else:
        raise BadRequest(f"There is no list “{name}”. There are: {', '.join((*NAMES, *RANGES))}.")
    indices = np.flatnonzero(chosen)
    key = found[ORDERS[name]][indices] if name in ORDERS else counts[-1][indices]
    order = np.argsort(key if ORDERS.get(name) == "before" else -key.astype(np.float64), kind="stable")
    return FeatureRows(name, sentence, indices[order], counts[-1], found, tokens)


def _figure(name: str, counts: np.ndarray, found: np.ndarray, tokens: int) -> np.ndarray:
    return counts / max(1, tokens) if name == "density" else found[name].astype(np.float64)


def _chosen(name, before, counts, found, tokens) -> np.ndarray:
    """`before` is the checkpoint before, counts [checkpoints, d_sae] end with this one. [d_sae] bool"""
    now = counts[-1]
    if name in FATES:
        return getattr(turnover(counts), name)[-1]
    if name == "changed":
        if before is None:
            return np.zeros(len(now), bool)
        return changed(records.records_of(before), found, np.minimum(now, counts[-2]) >= FIRED)
    flags = {"one-token": ONE_TOKEN, "one-position": ONE_POSITION, "bos-only": BOS_ONLY}
    flags |= {"split": SPLIT, "merged": MERGED}
    if name in flags:
        return found["flags"] & flags[name] != 0
    return {
        "dead": now == 0,
        "rare": now < RARE_BELOW * tokens,
        "dense": now > DENSE_ABOVE * tokens,
        "twins": found["nearest"].astype(np.float32) > TWIN,
        "all": np.ones(len(now), bool),
    }[name]
