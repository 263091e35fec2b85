"""Which ten features come first on the chosen tokens? The engine's ranking, without the dense ones."""

from dataclasses import replace

from features.templatetags.formatting import percent

from .ranking_several import summed

SHOWN = 10
NO_STATISTICS = (
    "Act quantile needs stored statistics, and this SAE has none yet. Compute them in the admin or with "
    "manage.py compute_features {slug}; Act size and Loss effect work without."
)


def ranked(prompt, asked, stored):
    """A Ranking of at most SHOWN features, whose `why_empty` says why there are none."""
    if asked.rank == "act_quantile" and not stored.exists:
        return replace(_nothing(prompt, asked), why_empty=NO_STATISTICS.format(slug=stored.sae.slug))
    ranking, dense = (_of_one if len(asked.positions) == 1 else _of_several)(prompt, asked, stored)
    scores = [score for score in ranking.scores if score.feature not in dense][:SHOWN]
    if ranking.scores and not scores:
        return replace(ranking, scores=[], why_empty=_all_dense(ranking.active, asked.max_density))
    return replace(ranking, scores=scores)


def _of_one(prompt, asked, stored):
    """The engine's ranking on one token, long enough that SHOWN are left without the dense features."""
    from features.engine.prompt import rank

    dense = stored.denser_than(asked.max_density, _active(prompt, asked))
    quantiles = stored.quantiles if stored.exists else None
    return rank(prompt, asked.position, asked.rank, top=SHOWN + len(dense), quantiles=quantiles), dense


def _of_several(prompt, asked, stored):
    scores = summed(prompt, asked, stored)
    dense = stored.denser_than(asked.max_density, [score.feature for score in scores])
    why = "" if scores else "No feature is active on the chosen tokens. Choose others."
    return replace(_nothing(prompt, asked), scores=scores, active=len(scores), why_empty=why), dense


def _nothing(prompt, asked):
    from features.engine.prompt import rank

    return replace(rank(prompt, asked.position, "act_size", top=0), scores=[], activation_position=None)


def _active(prompt, asked):
    """Features whose activation the ranking reads: on the token, or on the one before for loss effects."""
    at = asked.position - (asked.rank == "loss_effect")
    return prompt.active(at)[0] if at >= 0 else []


def _all_dense(active, max_density):
    return (
        f"All {active:,} active features are active on more than {percent(max_density)} of tokens. "
        "Move the density slider to the right to see them."
    )
