"""Does what was found in an SAE hold? Its features against stored figures, its prompts against the model."""

from collections.abc import Iterator

from features import runtime
from features.engine.finding_checks import Evidence, Outcome, check_claim
from features.models import SAE, Feature
from features.storage.feature_rows import statistics_of
from features.storage.findings_file import FindingsUnreadable, read_of
from features.storage.readers import rows_of, vocabulary_of

from .forms import PromptQuestion, ids_of
from .ranking import ranking_of
from .stored_features import StoredFeatures


def outcomes(sae: SAE) -> Iterator[tuple[str, str, Outcome]]:
    """(name, claim in words, Outcome) of every check and expectation. Raises FindingsUnreadable."""
    findings = read_of(sae)
    rows, vocabulary = rows_of(sae.statistics.corpus), vocabulary_of(sae)
    features = {finding.feature: finding for finding in findings.features}
    for row in Feature.objects.shown_of(sae).with_payloads().filter(index__in=features):
        evidence = Evidence(statistics_of(row), rows, vocabulary)
        for claim in features[row.index].checks:
            yield f"#{row.index} {features[row.index].name}", _words(claim), check_claim(claim, evidence)
    for prompt in findings.prompts:
        for claim in prompt.expect:
            yield prompt.name, _words(claim), expected(sae, prompt, claim)


def expected(sae: SAE, prompt, claim: dict) -> Outcome:
    """Whether a feature comes early enough in the ranking of a token. Raises FindingsUnreadable without that token."""
    ids = tuple(ids_of(sae, prompt.text, bos=True))
    if claim["position"] >= len(ids):
        raise FindingsUnreadable(f"{prompt.name!r} has {len(ids)} tokens; there is no position {claim['position']}")
    question = PromptQuestion(prompt.text, ids, True, (claim["position"],), claim["rank"], max_density=1)
    with runtime.analysed(sae, ids) as activations:
        order = [score.feature for score in ranking_of(activations, question, StoredFeatures(sae)).scores]
    if claim["feature"] not in order:
        return Outcome(False, f"not among the first {len(order)}")
    rank = order.index(claim["feature"]) + 1
    return Outcome(rank <= claim["within"], f"place {rank}")


def _words(claim: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in claim.items())
