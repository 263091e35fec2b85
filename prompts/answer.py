"""Which features act on this token of this prompt? The answer, as the page and its JSON twin show it."""

import math

from features import runtime
from features.browse.feature_json import numbers
from features.browse.feature_page import sae_facts
from features.browse.sae_overview import quick_note
from features.engine.corpus.training_text import TrainingText
from features.engine.results import Score
from features.models import SAE
from features.storage.readers import vocabulary_of

from .dashboards import dashboards_of
from .forms import MOST_SHOWN, PromptQuestion, Refused, refuse_unknown
from .heatmap import heatmap_of
from .ranking import Added, added_to, ranking_of
from .stored_features import StoredFeatures

PREDICTED = 5  # tokens of a prediction that are told
UNITS = {"act_size": "activation", "act_quantile": "share of tokens below", "loss_effect": "nats"}
ORDERS = {"act_size": "descending", "act_quantile": "descending", "loss_effect": "ascending"}


def answer(sae: SAE, question: PromptQuestion, patience: float | None = None, ticket: str = "") -> dict:
    """Everything a prompt page shows.

    Raises as runtime.analysed; its place in line is known by its ticket.
    """
    with runtime.analysed(sae, question.ids, patience, ticket) as prompt:
        stored = StoredFeatures(sae)
        ranking = ranking_of(prompt, question, stored)
        asked, added = asked_of(sae, question), added_to(prompt, question, stored)
        shown = [score.feature for score in ranking.scores]
        shown += [extra.feature for extra in added if extra.feature not in shown]
        return {
            **asked,
            "activation_position": ranking.activation_position,
            "active": ranking.active,
            "note": ranking.why_empty,
            "ranking": [_score(score) for score in ranking.scores],
            "added": [_added(extra) for extra in added],
            "losses": numbers(prompt.losses),
            "overview": heatmap_of(prompt, asked["special"], question.max_density, stored),
            "dashboards": dashboards_of(sae, prompt, shown, stored, question.stored) if question.dashboards else [],
        }


def asked_of(sae: SAE, question: PromptQuestion) -> dict:
    """The half of the answer that needs no model: what was asked, in tokens; the metric is called `rank` there."""
    vocabulary = vocabulary_of(sae)
    return {
        "sae": sae_facts(sae),
        "text": question.text,
        "bos": question.bos,
        "read": question.reading,
        "beyond_training": _beyond_training(sae, len(question.ids)),
        "tokens": vocabulary.pieces(list(question.ids)),
        "token_ids": list(question.ids),
        "special": [id in vocabulary.special for id in question.ids],
        "position": question.position,
        "positions": list(question.positions),
        "rank": question.metric,
        "unit": UNITS[question.metric],
        "order": ORDERS[question.metric],
        "max_density": question.max_density,
        "top": question.top,
        "most": MOST_SHOWN,
        "add": list(question.added),
        "quick": quick_note(sae),
    }


def _beyond_training(sae: SAE, tokens: int) -> str:
    """What is to be known of a prompt that is longer than the sequences of the training; "" where it is not."""
    read = sae.provenance or {}
    training = TrainingText.of(
        {"context_size": read.get("trained_context")}, {"seqpos_slice": read.get("trained_positions")}
    )
    if not training.longest or tokens <= training.longest:
        return ""
    return (
        f"The SAE was trained on sequences of {training.longest:,} tokens; this prompt has {tokens:,}. What its "
        f"features do from token {training.longest:,} on, nobody has trained."
    )


def tried(sae: SAE, index: int, question: PromptQuestion, ticket: str = "") -> dict:
    """One feature on a text: its activation on each token, and its loss effect on the token predicted, in nats.

    Raises Refused where there is no such feature, and as `answer` does.
    """
    refuse_unknown(sae, index)
    with runtime.analysed(sae, question.ids, ticket=ticket) as prompt:
        activations, effects = prompt.matrix([index])[0], prompt.loss_effects([index])[0]  # [tokens] each
    asked = asked_of(sae, question)
    return {
        "feature": index,
        **{name: asked[name] for name in ("text", "bos", "tokens", "token_ids", "special")},
        "activations": numbers(activations),
        "loss_effects": numbers(effects),
    }


def _score(score: Score) -> dict:
    """Every digit: quantiles differ where short numbers would not."""
    return {
        "feature": int(score.feature),
        "score": _finite(score.score),
        "activation": _finite(score.activation),
        "quantile": _finite(score.quantile),
        "loss_effect": _finite(score.loss_effect),
    }


def _added(extra: Added) -> dict:
    """As an entry of the ranking; without a score where the feature is not active there."""
    score = {} if extra.score is None else _score(extra.score)
    return {"feature": extra.feature, "place": extra.place, **score}


def without(sae: SAE, index: int, question: PromptQuestion, ticket: str = "") -> dict:
    """What the model would predict after the question's token with and without one feature's activation on it.

    {"activation", "with": [...], "without": [...]}: the most probable tokens of both, {"token", "id", "probability"};
    "next": the token that does follow, likewise with both probabilities, or None at the prompt's end.
    Raises Refused where there is no such feature, or predictions of the model cannot be read; and as `answer` does.
    """
    refuse_unknown(sae, index)
    with runtime.analysed(sae, question.ids, ticket=ticket) as prompt:
        if why := prompt.subject.why_no_effects:
            raise Refused(why)
        activation, both = prompt.predictions(question.position, index)  # [2, d_vocab]: as it is, without it
    vocabulary = vocabulary_of(sae)

    def entry(token: int, probabilities) -> dict:
        return {"token": vocabulary.label(token), "id": token, "probability": float(probabilities[token])}

    following = question.ids[question.position + 1 : question.position + 2]
    first = [[entry(int(token), row) for token in (-row).argsort(kind="stable")[:PREDICTED]] for row in both]
    return {
        "feature": index,
        "position": question.position,
        "activation": float(activation),
        "with": first[0],
        "without": first[1],
        "next": [entry(following[0], row) for row in both] if following else None,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
