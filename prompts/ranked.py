"""Which ten features come first on the chosen tokens? The engine's ranking, without the dense ones."""

from dataclasses import replace

SHOWN = 10
NO_STATISTICS = (
    "Act quantile needs stored statistics, and this SAE has none yet. Compute them in the admin or with "
    "manage.py compute_statistics; Act size and Loss effect work without."
)


def ranked(prompt, asked, stored):
    """A Ranking of at most SHOWN features, whose `why_empty` says why there are none."""
    from features.engine.ranking import rank

    if asked.rank == "act_quantile" and not stored.exists:
        return replace(rank(prompt, asked.position, "act_size", top=0), why_empty=NO_STATISTICS)
    dense = stored.denser_than(asked.max_density, _active(prompt, asked))
    quantiles = stored.quantiles if stored.exists else None
    # Enough of them that SHOWN are left when every dense one is taken out.
    ranking = rank(prompt, asked.position, asked.rank, top=SHOWN + len(dense), quantiles=quantiles)
    scores = [score for score in ranking.scores if score.feature not in dense][:SHOWN]
    if ranking.scores and not scores:
        return replace(ranking, scores=[], why_empty=_all_dense(ranking.active, asked.max_density))
    return replace(ranking, scores=scores)


def _active(prompt, asked):
    """Features whose activation the ranking reads: on the token, or on the one before for loss effects."""
    at = asked.position - (asked.rank == "loss_effect")
    return prompt.active(at)[0] if at >= 0 else []


def _all_dense(active, max_density):
    return (
        f"All {active:,} active features are active on more than {max_density:.3%} of tokens. "
        "Move the density slider to the right to see them."
    )
