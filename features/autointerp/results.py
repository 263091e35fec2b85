"""What came of a job? Every label with its score beside the control's, and both over all features."""

from django.db.models.fields.json import KT

from ..models import AutoInterp, AutoInterpFeature, Judgement
from ..templatetags.formatting import whole_percent

LISTED = 1000


def results(work: AutoInterp) -> dict:
    """For the page: {"rows", "together", "spent"}."""
    items = work.items.exclude(index=work.companion if work.companion is not None else -1)
    items = items.defer("answers", "control_answers", "examples").annotate(why_none=KT("examples__why_none"))
    rejected = Judgement.objects.filter(weights=work.checkpoint_hash, kind=Judgement.Kind.MACHINE, author=work.model)
    rejected = dict(rejected.exclude(rejected_by="").values_list("index", "rejected_by"))
    rows = [_row(item, rejected.get(item.index, "")) for item in items[:LISTED]]
    order = {index: place for place, index in enumerate(work.features)}
    rows.sort(key=lambda row: order.get(row["index"], 0))
    share = work.failed_calls / work.calls if work.calls else None
    return {"rows": rows, "together": together(work.outcome), "failed_share": share, "labelled": _labelled(rows)}


def _labelled(rows: list[dict]) -> int:
    return sum(bool(row["label"]) for row in rows)


def _row(item: AutoInterpFeature, rejected_by: str) -> dict:
    own, control = item.figures.get("own", {}), item.figures.get("control", {})
    scored = "score" in own and "score" in control
    why = item.why_none or item.label_failed or item.figures.get("why_none")
    why = why or ("" if scored else own.get("why_none") or control.get("why_none") or "")
    return {
        "index": item.index,
        "label": item.label,
        "rejected_by": rejected_by,
        "both": [own, control] if scored else [None, None],
        "control_of": item.control_of,
        "control_label": item.control_label,
        "unanswered": item.figures.get("unanswered"),
        "why": why,
    }


def together(outcome: dict) -> list[tuple[str, str]]:
    """(what, in words) of the scores of all features; nothing without any."""
    names = {"score": "Detection", "control": "Shuffled control", "difference": "Difference"}
    return [(words, _mean(outcome[name])) for name, words in names.items() if name in outcome]


def _mean(told: dict) -> str:
    between = f" ({whole_percent(told['low'])} to {whole_percent(told['high'])})" if "low" in told else ""
    return f"{whole_percent(told['mean'])}{between}"
