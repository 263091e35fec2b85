"""What does a grader see of a feature? Its panels, and nothing that tells which one it is."""

from ..browse import feature_json
from ..browse.feature_page import Unreadable, opened
from ..models import SAE, Feature, GradingAnswer, GradingSample

HIDDEN = ("row", "ids")  # of a sequence: a place in the corpus can be looked up


def item(sample: GradingSample, number: int, answer: GradingAnswer | None) -> dict:
    """One item as JSON. The panels come once the intruder question is answered: they would answer it."""
    asked = sample.items[number]
    question = asked["intruder"]
    answered = question is None or (answer is not None and answer.picked is not None)
    return {
        "number": number,
        "total": len(sample.items),
        "lines": question["lines"] if question else None,
        "why_none": "" if question else asked["why_none"],
        "picked": answer.picked if answer else None,
        "grade": answer.grade if answer else "",
        "panel": _panel(sample, asked) if answered else None,
    }


def _panel(sample: GradingSample, asked: dict) -> dict:
    told = sample.saes[asked["sae"]]
    sae = SAE.objects.for_pages().filter(checkpoint_hash=told["weights"]).exclude(statistics=None).first()
    row = None
    if sae is not None:
        row = Feature.objects.shown_of(sae).with_payloads().filter(index=asked["index"]).first()
    if row is None:
        return {"problem": "Its statistics are no longer here. Leave this one out."}
    try:
        feature, text = opened(sae, row)
    except Unreadable:
        return {"problem": "Its statistics cannot be read. Leave this one out."}
    sequences = feature_json.sequences(feature, text)
    groups = [sequences["top"], sequences["random"], *(interval["sequences"] for interval in sequences["intervals"])]
    for sequence in (sequence for group in groups for sequence in group):
        for name in HIDDEN:
            sequence.pop(name)
    return {
        "density": row.density,
        "count": row.count,
        "maximum": row.maximum,
        "missing": False,
        "dead": row.is_dead,
        "logits": feature_json.logits(feature.logits, text.vocabulary),
        "sequences": sequences,
    }
