"""Does what was found in an SAE hold? Its features against stored figures, its prompts against the model."""

from features import runtime
from features.engine.finding_checks import Evidence, Outcome, check
from features.models import Feature
from features.storage.findings_file import FindingsUnreadable, read_of
from features.storage.payload import unpack
from features.storage.readers import rows_of, vocabulary_of

from .forms import Asked, ids_of
from .ranking import ranked
from .stored_features import Stored


def outcomes(sae):
    """(name, claim in words, Outcome) of every check and expectation. Raises FindingsUnreadable."""
    found = read_of(sae)
    rows, vocabulary = rows_of(sae.statistics.corpus), vocabulary_of(sae)
    features = {finding.feature: finding for finding in found.features}
    for row in Feature.objects.shown_of(sae).filter(index__in=features):
        evidence = Evidence.of(unpack(row.payload), row.density, rows, vocabulary)
        for claim in features[row.index].checks:
            yield f"#{row.index} {features[row.index].name}", _words(claim), check(claim, evidence)
    for prompt in found.prompts:
        for part in prompt.expect:
            yield prompt.name, _words(part), expected(sae, prompt, part)


def expected(sae, prompt, part) -> Outcome:
    """Whether a feature comes early enough in the ranking of a token."""
    ids = tuple(ids_of(sae, prompt.text, bos=True))
    if part["position"] >= len(ids):
        raise FindingsUnreadable(f"{prompt.name!r} has {len(ids)} tokens; there is no position {part['position']}")
    asked = Asked(prompt.text, ids, True, (part["position"],), part["rank"], max_density=1)
    with runtime.analysed(sae, ids) as analysed:
        order = [score.feature for score in ranked(analysed, asked, Stored(sae)).scores]
    if part["feature"] not in order:
        return Outcome(False, f"not among the first {len(order)}")
    place = order.index(part["feature"]) + 1
    return Outcome(place <= part["within"], f"place {place}")


def _words(claim: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in claim.items())
