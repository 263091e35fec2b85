"""What do pages show of what was worked out after statistics were shown? Of a feature, and of its SAE as a whole."""

import numpy as np

from ..analysis.rows import analyses_of
from ..analysis.steps import lacking
from ..engine.training.record import ONLY
from ..models import SAE, Analysis, Feature, Statistics
from ..storage.readers import rows_of, vocabulary_of
from ..templatetags.formatting import figure, percent
from .feature_json import CorpusText, numbers

NO_KINDS = (
    "not known: the corpus was added by an earlier version, or of token ids. Add its texts again, in a folder or file "
    "for each kind."
)
SHARES = (0.5, 0.9, 0.99)
WIDTH, HEIGHT = 560, 150  # of the curve's drawing
AROUND = (24, 8)  # tokens shown before and after one that costs much, or on which a dead feature came nearest
SHADES = 4  # of cost, in the text of a row


# Of a feature


def feature_analysis(sae: SAE, row: Feature, text: CorpusText) -> dict:
    """By step; what was not worked out is None. Raises ValueError."""
    found = analyses_of(row) if sae.statistics.analysed else {}
    return {
        "tokens": _tokens(found.get("tokens"), sae.statistics, text.vocabulary),
        "importance": _worth(found.get("importance")),
        "nearest": _nearest(found.get("dead"), text),
    }


def _tokens(found: dict | None, statistics: Statistics, vocabulary) -> dict | None:
    """Records by place, each with its shares both ways; partners as records; None where it was not worked out."""
    if found is None:
        return None
    of_all = statistics.analysis.get("tokens", {})
    count, size = found["count"], found["size"]

    def record(id: int, n: int, sizes: float, occurs: int) -> dict:
        shares = {"share": n / count, "weighted": sizes / size, "of_token": n / occurs}
        return {"token": vocabulary.label(id), "count": n, **shares}

    places = {name: [*map(record, *found[name])] for name in ("before", "at", "after")}
    kinds = zip(of_all.get("kinds", []), found["by_kind"], strict=False)
    return {
        **{name: found[name] for name in ("entropy", "commonest", "skew", "by_position")},
        "position": found["position"] if (found["position"][1] or 0) >= ONLY else None,
        "one_token": (found["commonest"] or 0) >= ONLY,
        "positions": of_all.get("positions"),
        "places": places,
        "why_no_kinds": "" if of_all.get("kinds") else NO_KINDS,
        "kinds": [
            {"kind": kind, "share": share, "weighted": weighted, "of_kind": of_kind}
            for kind, (share, weighted, of_kind) in kinds
        ],
        **{name: _partners(found[name]) for name in ("together", "next")},
    }


def _partners(columns: list[list]) -> list[dict]:
    names = ("feature", "meetings", "forward", "back", "lift")
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def partners_of(analysis: dict) -> list[int]:
    """The features that what is shown links to."""
    tokens = analysis["tokens"] or {"together": [], "next": []}
    return [partner["feature"] for name in ("together", "next") for partner in tokens[name]]


def _worth(found: dict | None) -> dict | None:
    if found is None:
        return None
    low, high = numbers([found["low"], found["high"]]) if "low" in found else (None, None)
    importance, helps = numbers([found["importance"], found["helps"]])
    return {"importance": importance, "low": low, "high": high, "helps": helps, "positives": found["positives"]}


def _nearest(found: dict | None, text: CorpusText) -> dict | None:
    """Of a dead feature: how near it came to firing, and on which token; without a counted token only the rest."""
    if found is None or "value" not in found:
        return found
    pieces, at = text[found["row"]][1], found["position"]
    before, after = AROUND
    value, threshold, gap = numbers([found["value"], found["threshold"], found["threshold"] - found["value"]])
    return found | {
        "value": value,
        "threshold": threshold,
        "gap": gap,
        "before": "".join(pieces[max(0, at - before) : at]),
        "token": pieces[at],
        "after": "".join(pieces[at + 1 : at + 1 + after]),
    }


# Of an SAE


def analysis_page(sae: SAE) -> dict | None:
    """What the SAE's page shows; None without statistics. `pending`: why something is missing, a sentence or ""."""
    statistics = sae.statistics
    if statistics is None:
        return None
    found = statistics.analysis
    return {
        "pending": pending(sae),
        "described": found.get("descriptions"),
        "tokens": found.get("tokens"),
        "importance": _curve(found.get("importance")),
        "missed": _missed(sae, found.get("missed")),
    }


def pending(sae: SAE) -> str:
    """Why something that follows from kept activations is missing; "" where nothing is."""
    if sae.statistics.quick:
        return "It comes with the whole corpus: quick results are of too few tokens."
    if not lacking(sae.statistics):
        return ""
    newest = Analysis.objects.filter(statistics=sae.statistics_id).newest_first().first()
    if newest is None or newest.state == Analysis.State.DONE:  # then some steps are newer than it
        kept = getattr(sae.statistics, "kept", None)
        if kept is not None and kept.is_complete:
            return "A worker works it out when it has nothing else to do."
        return f"It follows from kept activations, and there are none. {kept.why_not if kept else 'Recompute.'}".strip()
    if newest.state in Analysis.UNFINISHED:
        return f"Being worked out: {newest.phase or 'it waits for a worker'}. The page shows it when it is there."
    return f"It was not worked out: {newest.error or newest.state}. Staff can try it again (Analyses)."


# Importance


def _curve(found: dict | None) -> dict | None:
    if not found or "why_not" in found:
        return found
    if found["carried"] is None:
        return found | {"none": True}
    features, shares = np.array(found["features"]), np.array(found["shares"])
    reached = [(percent(share, 2), int(features[np.argmax(shares >= share)])) for share in SHARES]
    reached[SHARES.index(0.9)] = (percent(0.9, 2), found["carried"])  # exact; the others to the next point of the curve
    return found | {"total_figure": figure(found["total"], 3), "reached": reached, "drawing": _drawing(found)}


def _drawing(found: dict) -> dict:
    """Points of the curve over a logarithmic axis of features, and where 90 % is reached."""
    features, shares = np.array(found["features"], float), np.array(found["shares"])
    top = max(1.0, float(shares.max()))
    width = np.log(max(found["of"], 2))

    def place(count, share):
        return f"{WIDTH * np.log(count) / width:.1f},{HEIGHT * (1 - max(share, 0) / top):.1f}"

    points = " ".join(place(count, share) for count, share in zip(features, shares, strict=True))
    carried = place(found["carried"], 0.9).split(",")
    crowded = float(carried[0]) > 0.85 * WIDTH  # no room for another number beside it
    return {"points": points, "x": carried[0], "y": carried[1], "width": WIDTH, "height": HEIGHT, "crowded": crowded}


# What the SAE misses


def _missed(sae: SAE, found: dict | None) -> dict | None:
    if not found or "why_not" in found:
        return found
    vocabulary, rows = vocabulary_of(sae), rows_of(sae.statistics.corpus)
    text = {}

    def pieces(row):
        if row not in text:
            text[row] = vocabulary.pieces(rows[row].tolist())
        return text[row]

    tokens = [_token(pieces(each["row"]), each) for each in found["worst_tokens"]]
    worst_rows = [_row(pieces(each["row"]), each) for each in found["worst_rows"]]
    words = [each | {"text": vocabulary.label(each["token"])} for each in found["worst_words"]]
    return found | {"tokens": tokens, "rows_shown": worst_rows, "words": words}


def _token(pieces: list[str], found: dict) -> dict:
    at, (before, after) = found["position"], AROUND
    return found | {
        "cost": found["reconstructed"] - found["clean"],
        "before": "".join(pieces[max(0, at - before) : at]),
        "text": pieces[at],
        "after": "".join(pieces[at + 1 : at + 1 + after]),
        "cut": at > before,
    }


def _row(pieces: list[str], found: dict) -> dict:
    """The row's pieces with a shade of cost each, 0 to SHADES: the darkest is the row's most costly token."""
    costs = [max(cost or 0, 0) for cost in found["costs"]]
    most = max(costs) or 1
    shades = [round(SHADES * cost / most) for cost in costs]
    shown = [
        {"text": piece, "shade": shade, "cost": figure(cost, 2)}
        for piece, shade, cost in zip(pieces, shades, found["costs"], strict=True)
    ]
    return {"row": found["row"], "cost": found["cost"], "pieces": shown}
