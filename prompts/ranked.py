"""Which ten features come first on the chosen tokens? The engine's ranking, without the dense ones."""

from dataclasses import replace

import numpy as np

from features.engine.results import Score

SHOWN = 10
NO_STATISTICS = (
    "Act quantile needs stored statistics, and this SAE has none yet. Compute them in the admin or with "
    "manage.py compute_features {slug}; Act size and Loss effect work without."
)


def ranked(prompt, asked, stored):
    """A Ranking of at most SHOWN features, whose `why_empty` says why there are none."""
    from features.engine.ranking import rank

    if asked.rank == "act_quantile" and not stored.exists:
        nothing = rank(prompt, asked.position, "act_size", top=0)
        return replace(nothing, scores=[], why_empty=NO_STATISTICS.format(slug=stored.sae.slug))
    dense = stored.denser_than(asked.max_density, _active(prompt, asked))
    quantiles = stored.quantiles if stored.exists else None
    # Enough of them that SHOWN are left when every dense one is taken out.
    ranking = rank(prompt, asked.position, asked.rank, top=SHOWN + len(dense), quantiles=quantiles)
    scores = [score for score in ranking.scores if score.feature not in dense][:SHOWN]
    if ranking.scores and not scores:
        return replace(ranking, scores=[], why_empty=_all_dense(ranking.active, asked.max_density))
    return replace(ranking, scores=scores)
