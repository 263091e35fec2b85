"""What does a feature's page show? Its row, its record and the corpus text, as one dict for page and JSON alike."""

import numpy as np
from django.urls import reverse

from ..analysis.descriptions import described
from ..engine.results import FeatureStatistics, Relatives
from ..models import SAE, Feature, FeatureFlag, Statistics
from ..storage.feature_rows import statistics_of
from ..storage.findings_file import findings_of
from . import feature_json
from .analysis import feature_analysis, partners_of
from .claims import claims_about
from .reproduce import feature_snippet
from .sae_overview import quick_note
from .windows import CONTEXTS

ONLY = {
    FeatureFlag.ONE_TOKEN: ("one-token", "one token only"),
    FeatureFlag.ONE_POSITION: ("one-position", "one position only"),
    FeatureFlag.BOS_ONLY: ("bos-only", "BOS only"),
}
TOP_LINES = 10  # that are drawn of a feature while the slider passes it


def feature_page(
    sae: SAE, row: Feature, previous: int | None, next: int | None, previews=None, user=None, context: str = "short"
) -> dict:
    """The dict of one feature. `previews(sae, indices)` finds the few figures of those it points to; `user`: who reads;
    `context`: how much of each example's row, one of `CONTEXTS`.

    Raises FiguresUnreadable.
    """
    feature, text = opened(sae, row)
    relatives, b = feature.relatives, encoder_b(sae.statistics)
    analysis = feature_analysis(sae, row, text)
    linked_of_b = relatives.correlated_b.indices.tolist() if b and b["address"] else []
    return {
        **missing_page(sae, row.index, previous, next, user),
        "missing": False,
        **heading(row),
        "population": population(sae.statistics, row),
        "reproduce": feature_snippet(sae, sae.statistics, row.index),
        "neuron_alignment": feature_json.neuron_alignment(relatives),
        "correlated_neurons": feature_json.correlates("neuron", relatives.correlated_neurons),
        "correlated_features": feature_json.correlates("feature", relatives.correlated_features),
        "encoder_b": b,
        "correlated_b": feature_json.correlates("feature", relatives.correlated_b) if b else [],
        "neighbours": feature_json.neighbours(relatives),
        "previews": previews(sae, linked(relatives, partners_of(analysis))) if previews else {},
        "previews_b": previews(sae.statistics.encoder_b, linked_of_b) if previews and linked_of_b else {},
        "logits": feature_json.logits(feature.logits, text.vocabulary),
        "activation_histogram": feature_json.histogram(feature.activity.histogram),
        "context": context,
        "largest_effect": feature_json.largest_effect(feature),
        "sequences": feature_json.sequences(feature, text, CONTEXTS[context]),
        "analysis": analysis,
    }


def passing_page(sae: SAE, row: Feature) -> dict:
    """What is drawn while the slider passes a feature: heading, density and the top lines. Raises FiguresUnreadable."""
    feature, text = opened(sae, row)
    return {
        "index": row.index,
        "missing": False,
        "passing": True,
        **heading(row),
        "population": {"tokens": row.tokens, "corpus": sae.statistics.corpus.name},
        "largest_effect": feature_json.largest_effect(feature),
        "sequences": {"top": feature_json.passing_lines(feature, text, TOP_LINES, CONTEXTS["short"])},
    }


def heading(row: Feature) -> dict:
    """What stands above all else: how it is described, and the first figures."""
    return {
        "description": described(row),
        "density": row.density,
        "count": row.count,
        "maximum": row.maximum,
        "mean": row.mean,
        "dead": row.is_dead,
        "dense": row.is_dense,
        "twins": {"count": row.twins, "first": row.twin_of} if row.twins else None,
        "swarm": row.has(FeatureFlag.SWARM),
        "common_direction": row.has(FeatureFlag.COMMON_DIRECTION),
        "only": only(row),
    }


def only(row: Feature) -> list[tuple[str, str]]:
    """(list of the table, words) of each kind of place that it fires at alone."""
    return [named for flag, named in ONLY.items() if row.has(flag)]


class FiguresUnreadable(Exception):
    """There are statistics, but what they are shown with is gone or of another version; it says what."""


def opened(sae: SAE, row: Feature) -> tuple[FeatureStatistics, feature_json.CorpusText]:
    """What was stored of a feature, and the text that its examples stand in. Raises FiguresUnreadable."""
    try:
        return statistics_of(row), feature_json.CorpusText.of(sae)
    except (ValueError, OSError) as problem:
        raise FiguresUnreadable(f"The stored figures of this feature cannot be shown: {problem}") from problem


def missing_page(sae: SAE, index: int, previous: int | None, next: int | None, user=None) -> dict:
    """What a page can say of a feature without statistics."""
    return {
        "sae": sae_facts(sae),
        "index": index,
        "finding": finding_of(sae, index),
        "claims": claims_about(sae, index, user),
        "previous": previous,
        "next": next,
        "listed": None,
        "missing": True,
        "quick": quick_note(sae),
    }


def finding_of(sae: SAE, index: int) -> dict | None:
    """What somebody has found out about this feature, if anybody has."""
    finding = findings_of(sae).of(index)
    return finding and {name: getattr(finding, name) for name in ("name", "sentence", "look_at")}


def sae_facts(sae: SAE) -> dict:
    """What scripts are told of an SAE."""
    return {
        "slug": sae.slug,
        "name": sae.name,
        "d_sae": sae.d_sae,
        "model": sae.model_name,
        "hook_point": sae.hook_point,
        "neurons": sae.neurons,
        "total_effect": sae.total_effect,
        "checkpoint": sae.checkpoint_hash,
        "format": sae.format,
        "dtype": sae.dtype,
    }


def encoder_b(statistics: Statistics) -> dict | None:
    """The SAE whose features were correlated with; its address only while its pages show those very weights."""
    if not statistics.encoder_b_hash:
        return None
    b = statistics.encoder_b
    same = b is not None and b.statistics_id is not None and statistics.correlated_with(b)
    return {
        "slug": b.slug if b else None,
        "name": b.name if b else "an SAE that is no longer here",
        "checkpoint": statistics.encoder_b_hash,
        "address": reverse("features:table", args=[b.slug]) if same else None,
    }


def population(statistics: Statistics, row: Feature) -> dict:
    """What a feature's shares are of, and how they can be had again."""
    return {
        "tokens": row.tokens,
        "corpus": statistics.corpus.name,
        "checkpoint": statistics.checkpoint_hash,
        "computed": statistics.completed and statistics.completed.isoformat(timespec="minutes"),
        "quick": statistics.quick,
        "seed": statistics.seed,
        "bos": statistics.corpus.bos,
        "versions": statistics.versions,
    }


def preview(row: Feature) -> dict:
    """The few figures that stand beside a link to a feature."""
    return {
        "density": row.density,
        "count": row.count,
        "maximum": row.maximum,
        "top_token": row.top_token,
        "top_logit": row.top_logit,
        "dead": row.is_dead,
        "dense": row.is_dense,
    }


def linked(relatives: Relatives, partners: list[int]) -> list[int]:
    """The features this one links to, ascending."""
    indices = relatives.correlated_features.indices, relatives.neighbours.indices, np.array(partners, np.int64)
    return np.unique(np.concatenate(indices)).tolist()
