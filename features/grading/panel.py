"""What does a grader see of a feature? Its panels, and nothing that tells which one it is."""

from ..browse import feature_json
from ..browse.feature_page import FiguresUnreadable, opened
from ..engine.results import FEW, FeatureStatistics
from ..models import SAE, Feature, GradingAnswer, GradingSample
from . import controls

HIDDEN = ("row", "ids")  # of a sequence: a place in the corpus can be looked up
OF_SAES = ("loss", "loss_effect")  # that controls do not have: seen beside them, they tell which is which
GONE = {"problem": "Its statistics are no longer here. Leave this one out."}
UNREADABLE = {"problem": "Its statistics cannot be read. Leave this one out."}


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
        "panel": _panel(sample, number) if answered else None,
    }


def _panel(sample: GradingSample, number: int) -> dict:
    told = sample.saes[sample.items[number]["sae"]]
    with_controls = any("control" in source for source in sample.saes)
    try:
        found = _control(sample, number) if "control" in told else _feature(told, sample.items[number]["index"])
    except (FiguresUnreadable, ValueError, OSError):
        return UNREADABLE
    return _shown(*found, with_controls) if found else GONE


def _feature(told: dict, index: int):
    sae = SAE.objects.for_pages().filter(checkpoint_hash=told["weights"]).exclude(statistics=None).first()
    row = sae and Feature.objects.shown_of(sae).with_payloads().filter(index=index).first()
    return opened(sae, row) if row else None


def _control(sample: GradingSample, number: int):
    row = sample.controls.select_related("sae", "corpus").filter(number=number).first()
    return controls.opened(row) if row else None


def _shown(feature: FeatureStatistics, text: feature_json.CorpusText, with_controls: bool) -> dict:
    """Panels; beside controls, nothing that only features of an SAE have: they rest on other numbers of tokens."""
    sequences, count = feature_json.sequences(feature, text), feature.activity.count
    groups = [sequences["top"], sequences["random"], *(interval["sequences"] for interval in sequences["intervals"])]
    places: dict[int, int] = {}
    for sequence in (sequence for group in groups for sequence in group):
        sequence["place"] = places.setdefault(sequence["row"], len(places))  # tells apart what is of another row
        for name in HIDDEN:
            sequence.pop(name)
        for active in sequence["active"] if with_controls else ():
            active |= dict.fromkeys(OF_SAES)
    for interval in sequences["intervals"] if with_controls else ():
        interval["count"] = min(1, interval["count"])
    return {
        "density": feature.density,
        "count": count if count < FEW or not with_controls else None,
        "population": None if with_controls else {"tokens": feature.tokens},
        "maximum": feature.activity.maximum,
        "missing": False,
        "dead": not count,
        "logits": feature_json.logits(feature.logits, text.vocabulary),
        "sequences": sequences,
    }
