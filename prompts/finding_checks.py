"""Does what was found in an SAE hold? Its features against stored figures, its prompts against the model."""

from collections.abc import Iterator
from threading import TIMEOUT_MAX

from features import runtime
from features.engine.claims.kinds import Outcome
from features.engine.claims.words import in_words
from features.models import SAE
from features.patterns import claims
from features.storage.findings_file import FindingsUnreadable, read_of

from .forms import PromptQuestion, ids_of
from .ranking import ranking_of
from .stored_features import StoredFeatures


def outcomes(sae: SAE) -> Iterator[tuple[str, str, Outcome]]:
    """(name, claim in words, Outcome) of every check and expectation. Raises FindingsUnreadable."""
    findings = read_of(sae)
    for test in claims.test_claims(sae.statistics, findings.names):
        claim = test.claim
        if claim.from_findings:
            name = f"#{claim.index} {findings.names[claim.index]}"
            yield name, in_words(claim.says), Outcome(bool(test.holds), test.figure)
    for prompt in findings.prompts:
        for claim in prompt.expect:
            yield prompt.name, _words(claim), expected(sae, prompt, claim)


def expected(sae: SAE, prompt, claim: dict) -> Outcome:
    """Whether a feature comes early enough in the ranking of a token. Raises FindingsUnreadable without that token."""
    ids = tuple(ids_of(sae, prompt.text, bos=True))
    if claim["position"] >= len(ids):
        raise FindingsUnreadable(f"{prompt.name!r} has {len(ids)} tokens; there is no position {claim['position']}")
    question = PromptQuestion(prompt.text, ids, True, (claim["position"],), claim["rank"], max_density=1)
    with runtime.analysed(sae, ids, TIMEOUT_MAX) as activations:
        order = [score.feature for score in ranking_of(activations, question, StoredFeatures(sae)).scores]
    if claim["feature"] not in order:
        return Outcome(False, f"not among the first {len(order)}")
    rank = order.index(claim["feature"]) + 1
    return Outcome(rank <= claim["within"], f"place {rank}")


def _words(claim: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in claim.items())
