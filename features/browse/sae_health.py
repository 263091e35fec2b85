"""Is this dictionary healthy? What errors and densities do not show, in words."""

from dataclasses import fields
from typing import NamedTuple

from django.conf import settings

from ..analysis.steps import lacking
from ..engine.results import FEW, LEAST_FEATURES, RARE_BELOW, Health, is_told
from ..models import SAE
from ..templatetags.formatting import figure, percent
from .analysis import pending

FROM_STEP = {  # lists of the table that follow from what is worked out after statistics are shown
    "patterned": "descriptions",
    "unpatterned": "descriptions",
    "scarce": "descriptions",
    "one-token": "tokens",
    "one-position": "tokens",
    "bos-only": "dead",
}


class HealthLine(NamedTuple):
    """A figure, what it means, and the list of the table that has its features, "" for none."""

    name: str
    value: str
    meaning: str
    show: str = ""


def health_of(sae: SAE) -> Health | None:
    """Of the statistics shown; None where they are of a version that did not compute it."""
    stored = sae.statistics.health if sae.statistics else {}
    known = {field.name for field in fields(Health)}
    return Health(**{name: value for name, value in stored.items() if name in known}) if stored else None


def health_figures(sae: SAE) -> list[HealthLine]:
    """All of them; of statistics of earlier versions one line says what is missing."""
    if sae.statistics is None:
        return []
    found = health_of(sae)
    if found is None and sae.statistics.quick:
        return [
            HealthLine(
                "Health", "not computed yet", "it comes with the whole corpus: quick results are of too few tokens"
            )
        ]
    if found is None:
        missing = HealthLine(
            "Health", "not computed yet", "these statistics are of an earlier version: compute them again"
        )
        return [missing, *_of_places(sae)]
    return [*_of_directions(sae, found), *_of_positions(sae, found), *_of_places(sae)]


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


def _of_directions(sae: SAE, found: Health) -> list[HealthLine]:
    """What the weights tell."""
    fired = sae.d_sae - sae.statistics.dead
    said = (
        f"too few features fired to tell: at least {LEAST_FEATURES} that fired, with an encoder column that is not "
        f"zero, are needed; {fired:,} of {sae.d_sae:,} fired"
    )
    if found.common_direction is not None:
        said = (
            f"mean cosine of each two encoder columns, of {found.directions:,} features that fired; near 0 is healthy. "
            f"Of the half that fires least {figure(found.common_direction_rarest, 2)}. Of the columns' squared length "
            f"{percent(found.first_share)} lie on their first singular direction, of that half's "
            f"{percent(found.first_share_rarest)}"
        )
    apart = f"median cosine of a feature's two; below 0.2 of {found.apart:,} of {sae.d_sae:,} features"
    return [
        HealthLine("Common encoder direction", figure(found.common_direction, 2), said),
        HealthLine("Encoder and decoder", figure(found.encoder_decoder_cosine, 2), apart),
    ]


def _of_positions(sae: SAE, found: Health) -> list[HealthLine]:
    """What the text tells."""
    tokens = f"{found.sampled_tokens:,} tokens, in rows drawn from the corpus"
    alive = f"of {found.sampled_alive:,} features that fired on {tokens}"
    swarm = f"{_share(found.swarm, found.sampled_alive)} {alive}: where they are strongest many others are, too"
    agree = (
        f"{_share(found.agree, found.sampled_alive)} of the same: at 10 of their 20 strongest positions is the same "
        "token, or the same one before"
    )
    return [
        HealthLine("Swarm", f"{found.swarm:,}", swarm, "swarm"),
        HealthLine("Agree", f"{found.agree:,}", agree),
        HealthLine("Below 1 in 10,000", *_rare(sae, found)),
        HealthLine("Largest L0", f"{found.largest_l0:,}", "features active on one token, where most are"),
    ]


def _of_places(sae: SAE) -> list[HealthLine]:
    """How many fire in one place alone, which is worked out after statistics are shown."""
    tokens, dead = (sae.statistics.analysis.get(step) for step in ("tokens", "dead"))
    later = ("–", "it is worked out after the statistics are shown")
    told = f"of {tokens['of']:,} features that fire on at least 20 tokens: nine in ten of" if tokens else ""
    bos = (
        (f"{dead['on_bos']:,}", "features fire on BOS, which is not counted, and on no counted token")
        if dead
        else later
    )
    if not sae.statistics.corpus.bos:
        bos = ("–", "no BOS stands in front of the corpus' rows")
    one = [
        (f"{tokens[name]:,}", f"{told} their activations are {where}") if tokens else later
        for name, where in (("one_token", "on one token"), ("one_position", "at one position of the row"))
    ]
    return [
        HealthLine("One token only", *one[0], "one-token"),
        HealthLine("One position only", *one[1], "one-position"),
        HealthLine("BOS only", *bos, "bos-only"),
    ]


def _rare(sae: SAE, found: Health) -> tuple[str, str]:
    """Value and meaning of how many features fire that seldom; no value where such a one would hardly fire at all."""
    tokens = sae.statistics.tokens
    if not is_told(RARE_BELOW, tokens):
        return "–", rare_untold(tokens)
    share = _share(found.rare, sae.d_sae)
    return f"{found.rare:,}", f"{share} of {sae.d_sae:,} features, dead ones among them, on {tokens:,} tokens"


def why_none(sae: SAE, show: str) -> str:
    """Why a list of the table has no features, where that is not because there are none."""
    statistics = sae.statistics
    if statistics is None:
        return ""
    if show == "swarm" and (counted := (statistics.health or {}).get("swarm")):
        return (
            f"{counted:,} features are in a swarm; which ones, the version that computed these statistics did not "
            "keep. Compute them again."
        )
    if show == "rare" and not is_told(RARE_BELOW, statistics.tokens):
        return f"Which features are ultra-rare is {rare_untold(statistics.tokens)}."
    if show in FROM_STEP and FROM_STEP[show] in lacking(statistics):
        return f"Which features these are is not worked out yet. {pending(sae)}"
    return ""


def rare_untold(tokens: int) -> str:
    """Why it is not said of so few tokens which features are ultra-rare."""
    return (
        f"not to be told from {tokens:,} tokens: {FEW / RARE_BELOW:,.0f} are needed for a feature of that density to "
        f"fire {FEW} times"
    )


def _share(count: int, of: int) -> str:
    return percent(count / of) if of else "none"
