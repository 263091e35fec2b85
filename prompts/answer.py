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
from .forms import PromptQuestion, Refused
from .heatmap import heatmap_of
from .ranking import ranking_of
from .stored_features import StoredFeatures

UNITS = {"act_size": "activation", "act_quantile": "share of tokens below", "loss_effect": "nats"}
ORDERS = {"act_size": "descending", "act_quantile": "descending", "loss_effect": "ascending"}


def answer(sae: SAE, question: PromptQuestion, patience: float | None = None) -> dict:
    """Everything a prompt page shows.

    Waits `patience` seconds for the model; raises runtime.StillLoading, and runtime.Unavailable where it cannot be had.
    """
    with runtime.analysed(sae, question.ids, patience) as prompt:
        stored = StoredFeatures(sae)
        ranking = ranking_of(prompt, question, stored)
        asked = asked_of(sae, question)
        return {
            **asked,
            "activation_position": ranking.activation_position,
            "active": ranking.active,
            "note": ranking.why_empty,
            "ranking": [_score(score) for score in ranking.scores],
            "losses": numbers(prompt.losses),
            "overview": heatmap_of(prompt, asked["special"], question.max_density, stored),
            "dashboards": dashboards_of(sae, prompt, [score.feature for score in ranking.scores], stored),
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


def tried(sae: SAE, index: int, question: PromptQuestion) -> dict:
    """One feature on a text: its activation on each token, and its loss effect on the token predicted, in nats.

    Raises Refused where there is no such feature, and as `answer` does.
    """
    if index >= sae.d_sae:
        raise Refused(f"Feature {index:,} does not exist: this SAE has features 0 to {sae.d_sae - 1:,}.", 404)
    with runtime.analysed(sae, question.ids) as prompt:
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


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
