"""Which features are graded? As many of each decade of density, drawn with a seed, from one SAE or several mixed."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from ..browse.feature_json import CorpusText
from ..messages import BadRequest
from ..models import SAE, Feature
from ..storage import kept_activations
from ..storage.feature_rows import statistics_of
from .intruder import Silent, intruder

STRATA = (  # name, density from, below
    ("below 0.01 %", 0.0, 1e-4),
    ("0.01 % to 0.1 %", 1e-4, 1e-3),
    ("0.1 % to 1 %", 1e-3, 1e-2),
    ("1 % to 10 %", 1e-2, 1e-1),
    ("above 10 %", 1e-1, 2.0),
)
LEAST, MOST = 1, 500  # features of a sample
CANDIDATES = 6  # other features that are tried for a stranger


@dataclass(frozen=True)
class SampledItem:
    """A feature to be graded: where it is from (an SAE, or a control beside it), its stratum, and the intruder question
    (None: `why_none` says why)."""

    sae: int  # number among the sample's SAEs and controls
    index: int
    stratum: int
    intruder: dict | None
    why_none: str


def draw(saes: list[SAE], size: int, seed: int) -> tuple[list[dict], list[dict]]:
    """(what is told of each SAE, items in the order they are shown). Raises BadRequest."""
    random = np.random.default_rng(seed)
    told, items = of_saes(saes, size, random)
    return told, [asdict(items[at]) for at in random.permutation(len(items))]


def check(saes: list[SAE], size: int) -> None:
    """Raises BadRequest for what cannot be drawn."""
    if not LEAST <= size <= MOST:
        raise BadRequest(f"{size:,} features cannot be graded at once; from {LEAST} to {MOST} can.")
    if not all(sae.statistics_id for sae in saes):
        raise BadRequest("Only an SAE with statistics can be graded. Compute them first.")
    if len(saes) > size:
        raise BadRequest(f"{size} features cannot be drawn from {len(saes)} SAEs; ask for one of each at least.")


def of_saes(saes: list[SAE], size: int, random: np.random.Generator) -> tuple[list[dict], list[SampledItem]]:
    """(what is told of each SAE, items SAE by SAE). Raises BadRequest."""
    check(saes, size)
    told, items = [], []
    for number, sae in enumerate(saes):
        strata = strata_of(sae)
        share = size // len(saes) + (number < size % len(saes))
        chosen = drawn(strata, share, random)
        told.append(
            {"slug": sae.slug, "name": sae.name, "weights": sae.checkpoint_hash, "alive": list(map(len, strata))}
        )
        items += _items(sae, number, chosen, strata, random)
    if not items:
        raise BadRequest("None of these features ever fired, so there is nothing to grade.")
    return told, items


def stratum_of(density: float) -> int:
    return next(n for n, (_, low, high) in enumerate(STRATA) if low <= density < high)


def strata_of(sae: SAE) -> list[list[int]]:
    """Alive features of each stratum, ascending."""
    strata: list[list[int]] = [[] for _ in STRATA]
    rows = Feature.objects.shown_of(sae).alive().order_by("index").values_list("index", "density")
    for index, density in rows:
        strata[stratum_of(density)].append(index)
    return strata


def drawn(strata: list[list[int]], size: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """(stratum, feature): as many of each as there are in the smallest shares, what is left over to the others."""
    wanted = [0] * len(strata)
    for _ in range(min(size, sum(map(len, strata)))):
        open_ones = [n for n, stratum in enumerate(strata) if wanted[n] < len(stratum)]
        wanted[min(open_ones, key=lambda n: wanted[n])] += 1
    return [
        (n, int(index))
        for n, stratum in enumerate(strata)
        if wanted[n]
        for index in random.choice(stratum, wanted[n], replace=False)
    ]


def _items(
    sae: SAE, number: int, chosen: list, strata: list[list[int]], random: np.random.Generator
) -> list[SampledItem]:
    text, silent_of = CorpusText.of(sae), _silence_of(sae)
    items = []
    for stratum, index in chosen:
        found, why_none = None, silent_of if isinstance(silent_of, str) else ""
        if not why_none:
            others = [other for other in strata[stratum] if other != index]
            others = random.permutation(others)[:CANDIDATES].tolist() if others else []
            records = {row.index: statistics_of(row) for row in _rows(sae, [index, *others])}
            own, strangers = records.pop(index), [records[other] for other in others if other in records]
            found, why_none = intruder(own, strangers, silent_of(index), text, random)
        items.append(SampledItem(number, index, stratum, found and asdict(found), why_none))
    return items


def _rows(sae: SAE, indices: list[int]):
    return Feature.objects.shown_of(sae).with_payloads().filter(index__in=indices)


def _silence_of(sae: SAE) -> Callable[[int], Silent] | str:
    """Feature -> whether it is silent around a place of the corpus; or why that is not known."""
    try:
        kept = kept_activations.kept_of(sae)
    except kept_activations.NothingKept as problem:
        return f"No intruder question: where a feature is silent is not known. {problem}"
    uncounted = sae.statistics.corpus.first
    width = sae.statistics.corpus.row_length - uncounted

    def of(index: int) -> Silent:
        return silence(kept.feature(index).tokens, width, uncounted)

    return of


def silence(tokens: np.ndarray, width: int, uncounted: int) -> Silent:
    """Of what is active on `tokens` alone, ascending: row * width + position, so many positions before it not
    counted."""

    def silent(row: int, first: int, last: int) -> bool:
        low, high = (row * width + max(0, position - uncounted) for position in (first, last))
        return bool(np.searchsorted(tokens, low) == np.searchsorted(tokens, high, side="right"))

    return silent
