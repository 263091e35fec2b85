"""How healthy is a checkpoint? Its figures in words, each with its interval or count, and histograms to choose from."""

from ..engine.results import RARE_BELOW, is_told
from ..engine.training.measure_bins import DENSITIES
from ..models import Checkpoint
from ..templatetags.formatting import figure, percent, with_margin

NONE = "–"
Lines = list[tuple[str, str, str]]  # name, value, what it means


def figures(checkpoint: Checkpoint) -> Lines:
    """Those of its row, none before it is measured."""
    found = checkpoint.figures
    if not found:
        return []
    return [*_of_losses(found), *_of_variance(found), *_of_directions(found), *_of_places(found), _norms(found)]


def _of_losses(found: dict) -> Lines:
    cost = f"loss with the reconstruction in its place less the model's own, {found['loss_rows']} rows"
    recovered = _share_with(found.get("loss_recovered"), found.get("loss_recovered_margin"))
    return [("Loss recovered", recovered, _losses(found)), ("Cost of reconstruction", _cost(found), cost)]


def _of_variance(found: dict) -> Lines:
    without, first, longest = (found.get(n) for n in ("explained_without", "variance_first", "variance_outliers"))
    extremes = (
        f"without first positions ({percent(first)} of the variance) and "
        f"the longest 0.1 % of activations ({percent(longest)})"
    )
    of_all = f"of the activations, on {found['tokens']:,} tokens"
    return [
        ("Explained variance", percent(found.get("explained_variance")), of_all),
        ("The same, less extremes", percent(without), extremes),
        ("L0", _with(found.get("l0"), found.get("l0_margin")), _l0(found)),
    ]


def _of_directions(found: dict) -> Lines:
    health = found.get("health") or {}
    common = (
        f"mean cosine of each two encoder columns of {health.get('directions', 0):,} features; near 0 is healthy. "
        f"Of the rarer half {figure(health.get('common_direction_rarest'), 2)}"
    )
    apart = f"median cosine of a feature's two; below 0.2 of {health.get('apart', 0):,} features"
    return [
        ("Common encoder direction", figure(health.get("common_direction"), 2), common),
        ("Encoder and decoder", figure(health.get("encoder_decoder_cosine"), 2), apart),
    ]


def _of_places(found: dict) -> Lines:
    """Of features whose strongest positions are those of others, and of those whose own are alike."""
    health = found.get("health") or {}
    swarm = (
        f"of {health.get('sampled_alive', 0):,} living features are strongest where many others are, on "
        f"{health.get('sampled_tokens', 0):,} tokens"
    )
    agree = "of the same have one token, or the one before, at 10 of their 20 strongest positions"
    return [("Swarm", f"{health.get('swarm', 0):,}", swarm), ("Agree", f"{health.get('agree', 0):,}", agree)]


def _norms(found: dict) -> tuple[str, str, str]:
    bias = figure(found.get("bias_norm"), 3)
    return (
        "Norms",
        f"{figure(found.get('encoder_norm'), 3)} / {figure(found.get('decoder_norm'), 3)}",
        f"median length of encoder columns and decoder rows; the decoder's bias is {bias} long",
    )


def counts(checkpoint: Checkpoint) -> list[tuple[str, int | None, str]]:
    """(name of the list, how many features are in it, its title)."""
    found, health = checkpoint.figures, checkpoint.figures.get("health") or {}
    enough = is_told(RARE_BELOW, found.get("tokens", 0))
    return [
        ("dead", found.get("dead"), "Dead"),
        ("rare", health.get("rare") if enough else None, "Ultra-rare (below 1 in 10,000)"),
        ("dense", found.get("dense"), "Dense (above 10 %)"),
        ("twins", found.get("twins"), "With a near-twin (decoder cosine above 0.9)"),
        ("one-token", found.get("one_token"), "On one token only"),
        ("one-position", found.get("one_position"), "At one position only"),
        ("bos-only", found.get("bos_only"), "On BOS only"),
    ]


def histograms(checkpoint: Checkpoint) -> list[dict]:
    """For charts whose bars lead to lists; `list`: the figure that a bar is a range of, none where it is of tokens."""
    found = checkpoint.figures
    densities = {"edges": DENSITIES.round(4).tolist(), "counts": found.get("density_histogram")}
    every = [
        ("density", "Density (log scale)", densities),
        ("encoder_decoder", "Encoder-decoder cosine", found.get("encoder_decoder")),
        ("encoder_norm", "Encoder norm", found.get("encoder_norms")),
        ("decoder_norm", "Decoder norm", found.get("decoder_norms")),
        ("", "L0 of tokens", found.get("l0_histogram")),
    ]
    return [
        {"list": name, "title": title, "histogram": histogram, "log10": name == "density"}
        for name, title, histogram in every
        if histogram and histogram.get("counts")
    ]


def _with(value, margin) -> str:
    if value is None:
        return NONE
    return f"{with_margin(value, margin)} (95\u00a0%)" if margin else figure(value)


def _share_with(value, margin) -> str:
    if value is None:
        return NONE
    return f"{with_margin(100 * value, 100 * margin)}\u00a0% (95\u00a0%)" if margin else percent(value)


def _losses(found: dict) -> str:
    if found.get("loss_clean") is None:
        return "this model's losses could not be read"
    return (
        f"{figure(found['loss_clean'])} nats for the model, "
        f"{figure(found['loss_reconstructed'])} with the reconstruction in its place, "
        f"{figure(found['loss_zero_ablated'])} with zeros ({found['loss_rows']} rows)"
    )


def _cost(found: dict) -> str:
    if found.get("loss_clean") is None or found.get("loss_reconstructed") is None:
        return NONE
    return f"{_with(found['loss_reconstructed'] - found['loss_clean'], found.get('loss_cost_margin'))} nats"


def _l0(found: dict) -> str:
    quantiles = found.get("l0_quantiles") or []
    if len(quantiles) < 6:
        return "features active on a token, on average"
    low, _, middle, _, high, most = quantiles
    return (
        f"features active on a token, on average; half of tokens have {middle:,.0f} or fewer, nine in ten "
        f"{low:,.0f} to {high:,.0f}, the most {most:,.0f}"
    )
