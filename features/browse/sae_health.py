"""Is this dictionary healthy? What errors and densities do not show, in words."""

from dataclasses import fields

from django.conf import settings

from ..engine.results import Health
from ..models import SAE
from ..templatetags.formatting import figure, percent

RARE_NEEDS = 100_000  # tokens, so that a density of 1 in 10,000 means ten activations


def health_of(sae: SAE) -> Health | None:
    """Of the statistics shown; None where they are of a version that did not compute it."""
    stored = sae.statistics.health if sae.statistics else {}
    known = {field.name for field in fields(Health)}
    return Health(**{name: value for name, value in stored.items() if name in known}) if stored else None


def health_figures(sae: SAE) -> list[tuple[str, str, str]]:
    """(name, value, what it means) of each; of statistics of earlier versions one line that says what is missing."""
    if sae.statistics is None:
        return []
    found = health_of(sae)
    if found is None and sae.statistics.quick:
        return [("Health", "not computed yet", "it comes with the whole corpus: quick results are of too few tokens")]
    if found is None:
        return [("Health", "not computed yet", "these statistics are of an earlier version: compute them again")]
    return [*_of_directions(sae, found), *_of_positions(sae, found)]


def warning(sae: SAE) -> str | None:
    """Where features share one encoder direction."""
    found, most = health_of(sae), settings.SAEVIZ_COMMON_DIRECTION
    if found is None or found.common_direction is None:
        return None
    if found.common_direction > most:
        whose, cosine = "Its features", found.common_direction
    elif (found.common_direction_rarest or 0) > most:
        whose, cosine = "The rarer half of its features", found.common_direction_rarest
    else:
        return None
    return (
        f"{whose} share one encoder direction: mean cosine {figure(cosine, 2)}, above {most:g}. Such features fire "
        "together on the same few tokens, and their top activations say little about them."
    )


def _of_directions(sae: SAE, found: Health) -> list[tuple[str, str, str]]:
    """What the weights tell."""
    said = f"too few features fired to tell: 100 are needed, with an encoder column; {sae.d_sae:,} are there"
    if found.common_direction is not None:
        said = (
            f"mean cosine of each two encoder columns, of {found.directions:,} features that fired; near 0 is healthy. "
            f"Of the half that fires least {figure(found.common_direction_rarest, 2)}. Of the columns' squared length "
            f"{percent(found.first_share)} lie on their first singular direction, of that half's "
            f"{percent(found.first_share_rarest)}"
        )
    apart = f"median cosine of a feature's two; below 0.2 of {found.apart:,} of {sae.d_sae:,} features"
    return [
        ("Common encoder direction", figure(found.common_direction, 2), said),
        ("Encoder and decoder", figure(found.encoder_decoder_cosine, 2), apart),
    ]


def _of_positions(sae: SAE, found: Health) -> list[tuple[str, str, str]]:
    """What the text tells."""
    tokens = f"{found.sampled_tokens:,} tokens, in rows drawn from the corpus"
    alive = f"of {found.sampled_alive:,} features that fired on {tokens}"
    swarm = f"{_share(found.swarm, found.sampled_alive)} {alive}: where they are strongest many others are, too"
    agree = (
        f"{_share(found.agree, found.sampled_alive)} of the same: at 10 of their 20 strongest positions is the same "
        "token, or the same one before"
    )
    return [
        ("Swarm", f"{found.swarm:,}", swarm),
        ("Agree", f"{found.agree:,}", agree),
        ("Below 1 in 10,000", *_rare(sae, found)),
        ("Largest L0", f"{found.largest_l0:,}", "features active on one token, where most are"),
    ]


def _rare(sae: SAE, found: Health) -> tuple[str, str]:
    """Value and meaning of how many features fire that seldom; no value where such a one would hardly fire at all."""
    tokens = sae.statistics.tokens
    if tokens < RARE_NEEDS:
        return (
            "–",
            f"not to be told from {tokens:,} tokens: {RARE_NEEDS:,} are needed for such a feature to fire ten times",
        )
    share = _share(found.rare, sae.d_sae)
    return f"{found.rare:,}", f"{share} of {sae.d_sae:,} features, dead ones among them, on {tokens:,} tokens"


def _share(count: int, of: int) -> str:
    return percent(count / of) if of else "none"
