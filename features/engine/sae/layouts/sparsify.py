"""Sparse coders of EleutherAI's sparsify: <hookpoint>/cfg.json + sae.safetensors. Its SparseCoder's formula.

The folder is named after the Hugging Face module whose output was learnt; the run's config lies one level up.
"""

from features.engine.foreign_files import Unreadable, read_object
from features.engine.sae.layouts import hook_names
from features.engine.sae.reading.answers import Answers
from features.engine.sae.reading.contents import CheckpointContents
from features.engine.sae.reading.errors import CheckpointError, Transcoder
from features.engine.sae.reading.recipe import Matrix, Recipe, first, flag


def recipe(checkpoint: CheckpointContents, answers: Answers) -> Recipe | None:
    """ReLU, then the k largest (or the largest of each of k groups). Transcoder for transcoders."""
    if not checkpoint.has("encoder.weight", "W_dec"):
        return None
    cfg = checkpoint.config("cfg.json")
    if flag(cfg, "transcode", False) or flag(cfg, "skip_connection", False) or checkpoint.has("W_skip"):
        raise Transcoder(checkpoint.path, "a sparsify transcoder")
    kind = cfg.get("activation", "topk")
    if kind not in ("topk", "groupmax"):
        raise CheckpointError(f"{checkpoint.path}: sparsify's activation {kind} is none of topk, groupmax.")
    # `signed`, in old configs: the k largest are kept without a ReLU.
    signed = kind == "topk" and flag(cfg, "signed", False)
    return Recipe(
        "sparsify",
        encoder=Matrix("encoder.weight", True),  # [h, d]
        decoder=Matrix("W_dec"),  # [h, d] as well
        encoder_bias="encoder.bias",
        decoder_bias="b_dec",
        pre_bias="b_dec",
        activation="signed_topk" if signed else kind,
        k=answers.resolve("k", cfg.get("k"), (32, 64, 192)),
        architecture=kind,
        subject=_subject(checkpoint),
        stated={"d_in": cfg.get("d_in"), "d_sae": _width(cfg)},
    )


def _width(cfg):
    if cfg.get("num_latents"):
        return cfg["num_latents"]
    # num_latents 0, its default, stands for the width times expansion_factor.
    if cfg.get("d_in") and cfg.get("expansion_factor"):
        return cfg["d_in"] * cfg["expansion_factor"]
    return None


def _subject(checkpoint):
    folder = checkpoint.weights.absolute().parent
    run = _run_config(folder.parent / "config.json")
    return {
        "model_name": run.get("model"),
        "hook_point": hook_names.of_module(folder.name),
        "context_size": run.get("ctx_len"),
    }


def _run_config(file):
    try:
        return first(read_object(file), {})
    except (Unreadable, OSError):  # none, or of another program; the user is asked instead
        return {}
