"""What is said of a whole SAE? Its figures in words, and how densely its features fire."""

import numpy as np

from ..engine.model.config import text_config
from ..engine.results import DENSE_ABOVE
from ..models import SAE, Corpus, Feature, Statistics
from ..templatetags.formatting import figure, loss_recovered, percent, with_margin

BINS = 60
FORMAT = 1  # of the figures as JSON
FIGURES = (  # fields of statistics
    *("l0", "explained_variance", "dead", "dense", "loss_clean", "loss_reconstructed", "loss_zero_ablated"),
    *("loss_recovered", "loss_recovered_margin", "loss_cost", "loss_cost_margin", "loss_tokens", "loss_rows"),
)
WRONG_BEFORE = {  # transformers' model_type: what statistics without a check of the model left out of account
    **dict.fromkeys(("gemma", "gemma3", "gemma3_text"), "the norms"),
    "gemma2": "the norms and caps",
    "granite": "the factors",
    "olmo2": "the norms behind attention and MLP",
}


def figures(sae: SAE) -> list[tuple[str, str, str]]:
    """(name, value, what it means) of each figure of the shown statistics."""
    statistics = sae.statistics
    if statistics is None:
        return []
    return [
        ("L0", figure(statistics.l0), "features active on a token, on average"),
        ("Explained variance", percent(statistics.explained_variance), "of the activations it reads"),
        *_of_losses(sae, statistics),
        ("Dead", f"{statistics.dead:,}", f"of {sae.d_sae:,} features never fired on these tokens"),
        ("Dense", f"{statistics.dense:,}", f"features fire on more than {percent(DENSE_ABOVE, 2)} of tokens"),
    ]


def _of_losses(sae: SAE, statistics: Statistics) -> list[tuple[str, str, str]]:
    if statistics.quick and statistics.completed is None:
        return [("Loss recovered", "not measured yet", "it follows when all features are shown")]
    return [
        (
            "Loss recovered",
            loss_recovered(statistics) + " (95\u00a0%)" * bool(statistics.loss_recovered_margin),
            _losses(sae, statistics),
        ),
        ("Cost of reconstruction", *_cost(statistics)),
    ]


def _losses(sae: SAE, statistics: Statistics) -> str:
    if statistics.loss_clean is None and sae.why_no_losses:
        return sae.why_no_losses
    return (
        f"{figure(statistics.loss_clean)} nats for the model, "
        f"{figure(statistics.loss_reconstructed)} with the reconstruction in its place, "
        f"{figure(statistics.loss_zero_ablated)} with zeros ({statistics.loss_tokens:,} tokens)"
    )


def sae_figures(sae: SAE) -> dict:
    """What its page says of a whole SAE, as numbers; null where a figure was not measured."""
    told = ("name", "slug", "d_in", "d_sae", "model_name", "hook_point", "format")
    about = {name: getattr(sae, name) for name in told}
    about = {"format": FORMAT, "sae": about | {"weights": sae.checkpoint_hash}, "quick": bool(quick_note(sae))}
    statistics = sae.statistics
    if statistics is None:
        return about | {
            "population": None,
            "figures": None,
            "health": None,
            "density_histogram": None,
            "analysis": None,
        }
    population = {"tokens": statistics.tokens, "corpus": statistics.corpus.name, "seed": statistics.seed}
    population |= {"computed": statistics.completed and statistics.completed.isoformat(timespec="minutes")}
    return about | {
        "population": population | {"weights": statistics.checkpoint_hash, "versions": statistics.versions},
        "figures": {name: getattr(statistics, name) for name in FIGURES},
        "health": statistics.health or None,
        "density_histogram": density_histogram(sae),
        "analysis": statistics.analysis or None,
    }


def model_and_text(sae: SAE, corpus: Corpus) -> list[tuple[str, str, str]]:
    """(name, what was read, what the files say where that is something else) of special tokens and context."""
    read = sae.provenance
    if not read:
        return []
    rows = [("BOS", _token(read.get("bos")), _other_bos(sae, corpus)), ("EOS", _token(read.get("eos")), "")]
    longest, trained = read.get("context"), read.get("trained_context")
    context = f"rows of {corpus.row_length:,} tokens" + (f"; the model reads {longest:,} at most" if longest else "")
    other = f"the SAE was trained on sequences of {trained:,}" if trained and trained != corpus.row_length else ""
    return [*rows, ("Context", context, other)]


def _token(token: dict | None) -> str:
    if not token:
        return ""
    if token["id"] is None:
        return f"none: {token['said']}" if token["said"] else "none"
    return f"{token['text']} ({token['id']:,}), {token['said']}".rstrip(", ")


def _other_bos(sae: SAE, corpus: Corpus) -> str:
    if sae.prepend_bos is None or sae.prepend_bos == corpus.bos:
        return ""
    trained, here = ("with", "without") if sae.prepend_bos else ("without", "with")
    return f"the SAE was trained on sequences {trained} BOS in front; the corpus has rows {here}"


def quick_note(sae: SAE) -> str:
    """That what is shown is of the first tokens alone, and what becomes of it; "" where it is complete."""
    statistics = sae.statistics
    if statistics is None or not statistics.quick:
        return ""
    if statistics.health and sae.checkpoints.exists():  # see runs/first_pages.py
        read, every = statistics.tokens, statistics.corpus.tokens
        told = f"all {read:,} tokens" if read >= every else f"{read:,} of the {every:,} tokens, spread evenly,"
        now = f"First pages, on {told} of the run's rows, with loss effects of starred and claimed features alone and "
        now = f"{now}without features that go together"
        waits = sae.jobs.unfinished().exists() or not sae.jobs.exists()
        return f"{now}; these follow." if waits else f"{now}: their computation has ended early. Try it again."
    now = f"Quick results, on the first {statistics.tokens:,} tokens"
    if sae.jobs.unfinished().filter(features__isnull=True, cancel_requested=False).exists():
        return f"{now}; the whole corpus follows."
    return f"{now}: the computation on the whole corpus has ended early. Try it again, or compute all features anew."


def older_note(sae: SAE) -> str:
    """That what is shown was computed before models were checked, where that was wrong; "" elsewhere."""
    statistics = sae.statistics
    if statistics is None or "model check" in statistics.versions:
        return ""
    kind = str(text_config(sae.model_path).get("model_type"))
    if kind not in WRONG_BEFORE:
        return ""
    return (
        f"These statistics come from a version that did not read {WRONG_BEFORE[kind]} of this kind of model ({kind}): "
        "losses, loss effects and logit effects are wrong. Activations are right. Compute all features again."
    )


def _cost(statistics: Statistics) -> tuple[str, str]:
    """Value and meaning of what reconstruction costs."""
    cost, margin = statistics.loss_cost, statistics.loss_cost_margin
    meaning = "loss with the reconstruction in its place less the model's own, on the same tokens"
    if cost is None or not margin:
        return f"{figure(cost, 2)} nats", f"{meaning}; no intervals here: compute the statistics again to have them"
    return f"{with_margin(cost, margin)} nats (95\u00a0%)", f"{meaning} of {statistics.loss_rows:,} rows"


def density_histogram(sae: SAE) -> dict | None:
    """How many features have which density; the edges are powers of ten."""
    if sae.statistics_id is None:
        return None
    densities = Feature.objects.shown_of(sae).alive().values_list("density", flat=True)
    logs = np.log10(np.fromiter(densities, dtype=np.float64))
    if not len(logs):
        return None
    counts, edges = np.histogram(logs, BINS, (np.floor(logs.min()), 0))
    return {"edges": edges.round(4).tolist(), "counts": counts.tolist()}
