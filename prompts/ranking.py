"""Which features come first on the chosen tokens? The engine's ranking, without the dense ones; and those named."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from features.templatetags.formatting import percent

from .forms import PromptQuestion
from .ranking_several import scores_over_tokens
from .stored_features import StoredFeatures

if TYPE_CHECKING:
    from features.engine.prompt import PromptActivations, Ranking
    from features.engine.results import Score

NO_STATISTICS = (
    "Act quantile needs stored statistics, and this SAE has none yet. Compute them in the admin or with "
    "manage.py compute_features {slug}; Act size and Loss effect work without."
)


@dataclass(frozen=True)
class Added:
    """A feature that was named, and where it stands in the whole ranking. None: it is not active there."""

    feature: int
    place: int | None = None  # 1 for the first; None too where it is left out as dense
    score: "Score | None" = None


def added_to(prompt: "PromptActivations", question: PromptQuestion, stored: StoredFeatures) -> list[Added]:
    """The features that a question names, in its order; each with its place among all that are ranked."""
    if not question.added:
        return []
    scores = ranking_of(prompt, replace(question, top=stored.sae.d_sae), stored).scores
    found = {score.feature: (place, score) for place, score in enumerate(scores, 1)}
    return [Added(feature, *found.get(feature, (None, None))) for feature in question.added]


def ranking_of(prompt: "PromptActivations", question: PromptQuestion, stored: StoredFeatures) -> "Ranking":
    """A ranking of at most `top` features by the question's metric, whose `why_empty` says why there are none."""
    if question.metric == "act_quantile" and not stored.exists:
        return replace(_empty(prompt, question), why_empty=NO_STATISTICS.format(slug=stored.sae.slug))
    if question.metric == "loss_effect" and (why := prompt.subject.why_no_effects):
        return replace(_empty(prompt, question), why_empty=why)
    rank_tokens = _rank_one if len(question.positions) == 1 else _rank_several
    ranking, dense = rank_tokens(prompt, question, stored)
    scores = [score for score in ranking.scores if score.feature not in dense][: question.top]
    if ranking.scores and not scores:
        return replace(ranking, scores=[], why_empty=_all_dense(ranking.active, question.max_density))
    return replace(ranking, scores=scores)


def _rank_one(prompt, question: PromptQuestion, stored: StoredFeatures) -> tuple["Ranking", set[int]]:
    """The engine's ranking on one token, long enough that `top` are left without the dense features; and those."""
    from features.engine.prompt import rank

    dense = stored.denser_than(question.max_density, _active(prompt, question))
    quantiles = stored.quantiles if stored.exists else None
    top = question.top + len(dense)
    return rank(prompt, question.position, question.metric, top=top, quantiles=quantiles), dense


def _rank_several(prompt, question: PromptQuestion, stored: StoredFeatures) -> tuple["Ranking", set[int]]:
    """All features active on the tokens, by their scores over them; and the dense ones among them."""
    scores = scores_over_tokens(prompt, question, stored)
    dense = stored.denser_than(question.max_density, [score.feature for score in scores])
    why = "" if scores else "No feature is active on the chosen tokens. Choose others."
    return replace(_empty(prompt, question), scores=scores, active=len(scores), why_empty=why), dense


def _empty(prompt, question: PromptQuestion) -> "Ranking":
    from features.engine.prompt import rank

    return replace(rank(prompt, question.position, "act_size", top=0), scores=[], activation_position=None)


def _active(prompt, question: PromptQuestion) -> Sequence[int]:
    """Features whose activation the ranking reads."""
    # An activation's loss effect falls on the next token: for it, the token before the chosen one is read.
    position = question.position - (question.metric == "loss_effect")
    return prompt.active(position)[0] if position >= 0 else []


def _all_dense(active: int, max_density: float) -> str:
    return (
        f"All {active:,} active features are active on more than {percent(max_density)} of tokens. "
        "Move the density slider to the right to see them."
    )
