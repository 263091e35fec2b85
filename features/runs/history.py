"""How did figures and features go over a run? Numbers for charts, from rows alone."""

from dataclasses import dataclass
from itertools import count

import numpy as np

from ..engine.results import RARE_BELOW, is_told
from ..engine.training.measure_bins import DENSITIES
from ..engine.training.record import MERGED, SPLIT
from ..engine.training.turnover import FIRED, changed, in_common, turnover
from ..models import SAE, Checkpoint, Feature, Run
from . import records, warnings

LAST_ROOM = 0.03  # of the axis, behind the last step, for a state that no step is known of


@dataclass(frozen=True)
class RunCurve:
    """A figure of checkpoints over steps."""

    key: str
    title: str
    meaning: str
    is_share: bool = False
    margin: str = ""  # the figure that holds half of its 95 % interval
    of: str = ""  # the figure it is divided by: "d_sae", "alive"
    in_health: bool = False
    below: float = 0.0  # the density that it is a share below: nothing where tokens do not tell

    def value(self, figures: dict, run: Run) -> float | None:
        found = (figures.get("health") or {} if self.in_health else figures).get(self.key)
        if self.below and not is_told(self.below, figures.get("tokens", 0)):
            return None
        if found is None or not self.of:
            return found
        whole = run.d_sae if self.of == "d_sae" else (figures.get("health") or {}).get(self.of)
        return found / whole if whole else None

    def half(self, figures: dict) -> float | None:
        return figures.get(self.margin) if self.margin else None


CURVES = (
    RunCurve("loss_recovered", "Loss recovered", "1: the reconstruction costs nothing; 0: no better than zeros", True,
             "loss_recovered_margin"),
    RunCurve("explained_variance", "Explained variance", "of the activations", True),
    RunCurve("l0", "L0", "features active on a token, on average", margin="l0_margin"),
    RunCurve("dead", "Dead", "share of features that never fired on the run's rows", True, of="d_sae"),
    RunCurve("rare", "Ultra-rare", "share with a density below 1 in 10,000, dead ones among them", True, of="d_sae",
             in_health=True, below=RARE_BELOW),
    RunCurve("dense", "Dense", "share that fires on more than 10 % of tokens", True, of="d_sae"),
    RunCurve("common_direction", "Common encoder direction", "mean cosine of each two encoder columns; healthy near 0",
             in_health=True),
    RunCurve("encoder_decoder_cosine", "Encoder and decoder", "median cosine of a feature's two", in_health=True),
    RunCurve("swarm", "Swarm", "share of living features that are strongest where many others are", True,
             of="sampled_alive", in_health=True),
    RunCurve("twins", "Near-twins", "share with a decoder cosine above 0.9 to another feature", True, of="d_sae"),
    RunCurve("decoder_norm", "Decoder norm", "median length of decoder rows"),
    RunCurve("encoder_norm", "Encoder norm", "median length of encoder columns"),
)  # fmt: skip


def charts(run: Run, checkpoints: list[Checkpoint] | None = None) -> dict:
    """Everything that a run's page draws of it; `checkpoints` in order, where they are at hand."""
    checkpoints = list(run.in_order()) if checkpoints is None else checkpoints
    found = warnings.of_run(run, checkpoints)
    return {
        "slug": run.slug,
        "name": run.name,
        "d_sae": run.d_sae,
        "unit": checkpoints[0].unit if checkpoints else "steps",
        "x": positions(checkpoints),
        "labels": [f"{each.label} ({each.first_look})" if each.first_look else each.label for each in checkpoints],
        "urls": [f"{run.get_absolute_url()}{each.pk}/" for each in checkpoints],
        "warned": [[warning.sentence for warning in found if warning.checkpoint.pk == each.pk] for each in checkpoints],
        "curves": [_curve(curve, run, checkpoints) for curve in CURVES],
        "densities": {
            "edges": DENSITIES.round(3).tolist(),
            "columns": [each.figures.get("density_histogram", []) for each in checkpoints],
        },
        "turnover": _turnover(checkpoints),
        "faults": [
            {"x": each.checkpoint.step, "label": each.checkpoint.label, "says": each.sentence, "url": each.url}
            for each in found
            if each.rule == "unreadable" and each.checkpoint.step is not None
        ],
    }


def positions(checkpoints: list[Checkpoint]) -> list[float]:
    """Of each on the axis of steps; what has no step lies behind the last that has, one after another as written."""
    steps = [each.step for each in checkpoints if each.step is not None]
    room, last = LAST_ROOM * (max(steps) - min(steps) or 1) if steps else 1, max(steps, default=0)
    unnamed = count(1)
    return [last + room * next(unnamed) if each.step is None else each.step for each in checkpoints]


def _curve(curve: RunCurve, run: Run, checkpoints: list[Checkpoint]) -> dict:
    return {
        "key": curve.key,
        "title": curve.title,
        "meaning": curve.meaning,
        "share": curve.is_share,
        "values": [curve.value(each.figures, run) for each in checkpoints],
        "margins": [curve.half(each.figures) for each in checkpoints],
    }


def _turnover(checkpoints: list[Checkpoint]) -> dict:
    """How many features were born, died and came back at each; null where records are not there yet."""
    having = records.having(checkpoints)
    with_them = [each for each in checkpoints if each.pk in having]
    names = ("born", "died", "revived")
    if not with_them:
        return {name: [None] * len(checkpoints) for name in names}
    found = turnover(records.counts_of(with_them))
    column = {each.pk: n for n, each in enumerate(with_them)}
    return {
        name: [int(getattr(found, name)[column[each.pk]].sum()) if each.pk in column else None for each in checkpoints]
        for name in names
    }


def sweep(pairs: list[tuple[Run, Checkpoint | None]]) -> list[dict]:
    """Of each run its last checkpoint, which comes with it: L0 against what it recovers and explains."""
    names = ("l0", "l0_margin", "loss_recovered", "loss_recovered_margin", "explained_variance")
    return [
        {"name": run.name, "label": last.label, "url": run.get_absolute_url()}
        | {name: last.figures.get(name) for name in names}
        for run, last in pairs
        if last is not None
    ]


def feature_history(checkpoint: Checkpoint, index: int) -> dict:
    """One feature, by its index, through the checkpoints of the run that this one is of."""
    run = checkpoint.run
    checkpoints = list(records.with_records(run).select_related("sae__statistics"))
    counts = records.counts_of(checkpoints, index)  # [checkpoints]
    found, tokens = records.history(checkpoints, index), run.rows.tokens
    kept = [None, *(int(n) for n in in_common(found["tops"][1:], found["tops"][:-1]))]
    return {
        "run": {"name": run.name, "url": run.get_absolute_url(), "unit": checkpoint.unit},
        "rows": f"{tokens:,} tokens: {run.rows.name}",
        "x": positions(checkpoints),
        "here": [each.pk for each in checkpoints].index(checkpoint.pk) if checkpoint in checkpoints else None,
        "labels": [each.label for each in checkpoints],
        "pages": [_page(each, index) for each in checkpoints],
        "curves": [
            _series("density", "Density", (counts / max(1, tokens)).tolist(), True),
            _series("maximum", "Maximum", _numbers(found["maximum"])),
            _series("mean", "Mean", _numbers(found["mean"])),
            _series("before", "Decoder cosine to the checkpoint before", _numbers(found["before"])),
            _series("encoder_decoder", "Encoder-decoder cosine", _numbers(found["encoder_decoder"])),
            _series("kept", "Of 20 strongest positions, kept", _where(kept, counts)),
            *_importance(checkpoints, index),
        ],
        "events": _events(counts, found),
    }


def _importance(checkpoints: list[Checkpoint], index: int) -> list[dict]:
    """Where a computation of panels has measured it: nats per million tokens, with half of each 95 % interval."""
    sets = [each.sae.statistics_id if each.sae else None for each in checkpoints]
    rows = Feature.objects.filter(statistics__in=filter(None, sets), index=index).exclude(importance=None)
    found = {of: values for of, *values in rows.values_list("statistics", "importance", "importance_margin")}
    if not found:
        return []
    values, margins = zip(*(found.get(each, (None, None)) for each in sets), strict=True)
    return [_series("importance", "Importance (nats in a million tokens)", values) | {"margins": margins}]


def _page(checkpoint: Checkpoint, index: int) -> dict:
    """Where this feature can be read at that checkpoint, and whether its panels are there."""
    sae = checkpoint.sae
    return {
        "checkpoint": checkpoint.get_absolute_url(),
        "feature": sae.feature_url(index) if sae else None,
        "panels": bool(sae and sae.statistics_id),
    }


def _series(key: str, title: str, values: list, is_share: bool = False) -> dict:
    return {"key": key, "title": title, "values": values, "share": is_share, "margins": []}


def _numbers(values: np.ndarray) -> list:
    return [None if value != value else round(float(value), 5) for value in values]


def _where(kept: list, counts: np.ndarray) -> list:
    """How many positions it kept, where it fired often enough at both to tell."""
    enough = counts >= FIRED
    return [n if n is not None and enough[at] and enough[at - 1] else None for at, n in enumerate(kept)]


def _events(counts: np.ndarray, found: np.ndarray) -> list:
    """What happened to it at each checkpoint: "born", "died", "revived", "changed", "split", "merged" or nothing."""
    fates = turnover(counts[:, None])
    events = []
    for at in range(len(counts)):
        words = [name for name in ("born", "died", "revived") if getattr(fates, name)[at, 0]]
        fired = at and min(counts[at], counts[at - 1]) >= FIRED
        if fired and changed(found[at - 1 : at], found[at : at + 1], np.array([True]))[0]:
            words.append("changed")
        words += [name for name, flag in (("split", SPLIT), ("merged", MERGED)) if found["flags"][at] & flag]
        events.append(words[0] if words else None)
    return events


def checkpoint_of(sae: SAE) -> Checkpoint | None:
    """The moment of a run that an SAE is, where it is one."""
    return sae.checkpoints.filter(same_as=None).exclude(run=None).select_related("run__rows").order_by("-pk").first()
