"""Which features act on this token of this prompt? The answer, as the page and its JSON twin show it."""

import math

from features import runtime
from features.browse.feature_page import numbers, sae_facts
from features.storage.readers import vocabulary_of

from .dashboards import dashboards_of
from .forms import Refused
from .heatmap import overview_of
from .ranking import ranked
from .stored_features import Stored

UNITS = {"act_size": "activation", "act_quantile": "share of tokens below", "loss_effect": "nats"}
ORDERS = {"act_size": "descending", "act_quantile": "descending", "loss_effect": "ascending"}


def answer(sae, asked, patience=None):
    """Everything a prompt page shows. Waits `patience` seconds for the model (runtime.StillLoading)."""
    with runtime.analysed(sae, asked.ids, patience) as prompt:
        stored = Stored(sae)
        ranking = ranked(prompt, asked, stored)
        features = [score.feature for score in ranking.scores]
        asking = question(sae, asked)
        return {
            **asking,
            "activation_position": ranking.activation_position,
            "active": ranking.active,
            "note": ranking.why_empty,
            "ranking": [_score(score) for score in ranking.scores],
            "losses": numbers(prompt.losses),
            "overview": overview_of(prompt, asking["special"], asked.max_density, stored),
            "dashboards": dashboards_of(sae, prompt, features, stored),
        }


def question(sae, asked):
    """The half of the answer that needs no model: what was asked, in tokens."""
    vocabulary = vocabulary_of(sae)
    return {
        "sae": sae_facts(sae),
        "text": asked.text,
        "bos": asked.bos,
        "tokens": vocabulary.pieces(list(asked.ids)),
        "token_ids": list(asked.ids),
        "special": [id in vocabulary.special for id in asked.ids],
        "position": asked.position,
        "positions": list(asked.positions),
        "rank": asked.rank,
        "unit": UNITS[asked.rank],
        "order": ORDERS[asked.rank],
        "max_density": asked.max_density,
    }


def tried(sae, index, asked):
    """One feature on a text: its activation on each token, and its loss effect on the token predicted."""
    if index >= sae.d_sae:
        raise Refused(f"Feature {index:,} does not exist: this SAE has features 0 to {sae.d_sae - 1:,}.", 404)
    with runtime.analysed(sae, asked.ids) as prompt:
        activations, effects = prompt.matrix([index])[0], prompt.loss_effects([index])[0]
    asking = question(sae, asked)
    return {
        "feature": index,
        **{name: asking[name] for name in ("text", "bos", "tokens", "token_ids", "special")},
        "activations": numbers(activations),
        "loss_effects": numbers(effects),
    }


def _score(score):
    """Every digit: quantiles differ where short numbers would not."""
    return {
        "feature": int(score.feature),
        "score": _finite(score.score),
        "activation": _finite(score.activation),
        "quantile": _finite(score.quantile),
        "loss_effect": _finite(score.loss_effect),
    }


def _finite(value):
    return float(value) if value is not None and math.isfinite(value) else None
