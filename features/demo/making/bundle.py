"""What is shipped? model/, sae/, checkpoints/ on the way to it, figures.json and a README that says how it was made."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from features.engine.files import whole_folder
from features.engine.model.one_layer import OneBlockConfig
from features.engine.sae.sae import SparseAutoencoder
from features.engine.subject import Subject

from . import accident, figures, train_sae
from .checkpoints import write_json
from .model.forward import Weights
from .sae.inputs import HOOK
from .text import overlap, selection, tokenizer

MODEL_NAME = "gelu-1l-mini"
STEPS_PER_DEVIATION = 2  # of the grid that small files round to: adds at most 1/48 of a matrix's own variance


def write_model(bundle: Path, weights: Weights, config: OneBlockConfig, tokenizer_folder: Path) -> None:
    """model/: weights in float16, config and tokenizer, as transformer_lens and transformers read them."""
    folder = bundle / "model"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: _half(value) for name, value in weights.items()}, folder / "model.safetensors")
    write_json(
        folder / "config.json",
        {
            "n_layers": 1,
            **asdict(config),
            "act_fn": "gelu",
            "normalization_type": "LN",
            "positional_embedding_type": "standard",
            "attn_only": False,
            "bos_token_id": tokenizer.BOS,
            "eos_token_id": tokenizer.EOS,
        },
    )
    for name in tokenizer.FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)


def copy_model(bundle: Path, given: Path) -> None:
    """model/: a model that is there already, as it is."""
    folder = bundle / "model"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.json", *tokenizer.FILES):
        shutil.copyfile(given / name, folder / name)


def write_sae(folder: Path, sae: SparseAutoencoder, tokens: int, context: int, small: bool = False) -> None:
    """A JumpReLU in SAELens's layout, float16, after so many tokens in rows of `context`.

    `small` rounds the matrices to a coarse grid: as many bytes on disk, a third of them once compressed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
    tensors = {name: _half(getattr(sae, name)) for name in names}
    if small:
        tensors |= {name: _half(on_grid(getattr(sae, name))) for name in ("W_enc", "W_dec")}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": sae.config.d_in,
        "d_sae": sae.config.d_sae,
        "dtype": "float16",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {
            "model_name": MODEL_NAME,
            "hook_name": HOOK,
            "prepend_bos": True,
            "context_size": context,
            "training_tokens": tokens,
        },
    }
    write_json(folder / "cfg.json", config)


def write_checkpoint(bundle: Path, run: train_sae.SAETraining) -> None:
    """checkpoints/<tokens read>: the SAE as it is now, rounded to compress well, and usable as it stands."""
    folder = bundle / "checkpoints" / f"{run.done:09d}"
    write_sae(folder, run.finished(), run.done, run.rows.shape[1], small=True)


def write_accident(bundle: Path, lost: accident.Accident, context: int) -> None:
    """accident/<tokens read>: the run that lost its way, before, on the way and at the end; accident.json says how."""
    with whole_folder(bundle / "accident") as folder:
        for tokens, sae in lost.checkpoints:
            write_sae(folder / f"{tokens:09d}", sae, tokens, context, small=True)
        write_json(folder / "accident.json", {"times_rate": lost.times_rate, "common_direction": lost.cosine})


def on_grid(W: Tensor) -> Tensor:
    """W rounded to multiples of a power of two, at most half its standard deviation.

    Of float16's bits these need the upper half, so that git and zip store less than four of sixteen.
    """
    step = 2.0 ** torch.floor(torch.log2(W.std() / STEPS_PER_DEVIATION))
    return torch.round(W / step) * step


def _half(W: Tensor) -> Tensor:
    return W.detach().cpu().half().contiguous()


def measure(
    bundle: Path, held_out_rows: np.ndarray, corpus: Path, tokens: int = figures.DENSITY_TOKENS
) -> figures.Figures:
    """Quality of bundle/sae on bundle/model; densities over the texts of a folder.

    Raises ModelError, CheckpointError, TokenizerMissing or SubjectError where the bundle cannot be read.
    """
    subject = Subject.load(bundle / "model", bundle / "sae", HOOK, "cpu")
    return figures.measure(subject, held_out_rows, figures.density_rows(subject, corpus, tokens), tokens)


def write_readme(bundle: Path, facts: dict, measured: figures.Figures | None) -> None:
    """README.md and figures.json. `facts`: what `pipeline.make` knows of its settings, seeds, time and sources."""
    write_json(bundle / "figures.json", {**facts, "figures": asdict(measured) if measured else None})
    sources = "\n".join(source_line(name, selection.TextSource(*fields)) for name, fields in facts["sources"].items())
    quality = "\n".join(f"    {line}" for line in measured.lines()) if measured else "    not measured"
    (bundle / "README.md").write_text(
        f"""# {MODEL_NAME} and its sparse autoencoder

Made by `python manage.py make_demo`, seed {facts["seed"]}.

- `model/`: one-block GELU transformer in transformer_lens's names, float16.
  {read(facts)}
- `sae/`: {facts["features"]:,} features on `{HOOK}`, JumpReLU, SAELens's layout, float16.
  Read {facts["sae_tokens"]:,} tokens in {facts["sae_seconds"] / 3600:.1f} CPU hours; {facts["k"]:g} fire on a token.
- `checkpoints/`: the same SAE after so many tokens, its matrices on a coarse grid so that they compress.
{spoilt(facts["accident"])}

Quality (`python manage.py measure_demo`):

{quality}

Trained on {facts["rows"]:,} rows of these texts, by the names that their corpus gives them. Left out were
documents that came before word for word, those of which the site shows the most, of the others every passage of
{overlap.WINDOW} tokens or more that the site shows, rows of which half had come before, and rows that share
{overlap.WINDOW} tokens in a row with a held-out row.

| source | documents | million characters | left out: repeats | left out: shown | tokens kept |
|---|---|---|---|---|---|
{sources}
"""
    )


def read(facts: dict) -> str:
    """How much the model has read, where that is known."""
    if not facts["model_tokens"]:
        return "Taken as it was given; what it has read is not recorded here."
    return f"Read {facts['model_tokens']:,} tokens in {facts['model_seconds'] / 3600:.1f} CPU hours."


def spoilt(how: dict) -> str:
    """What accident/ is. `how`: its accident.json."""
    rate, k, tries = how["times_rate"], accident.TIMES_K, len(accident.TIMES_RATE)
    return (
        "- `accident/`: another SAE, spoilt on purpose: neurons not centred, and behind the first checkpoint "
        f"{rate:g} times the rate\n  and {k:g} times as many features a token at once, with an optimiser begun anew. "
        f"Mean cosine of its encoder columns at the\n  end: {how['common_direction']:.2f} ({accident.ENOUGH:g} was "
        f"wanted; where none of {tries} tries comes so far, the worst is kept)."
    )


def source_line(name: str, source: selection.TextSource) -> str:
    """A row of the table of sources."""
    return (
        f"| {name} | {source.documents:,} | {source.characters / 1e6:.1f} | {source.repeats:,} | {source.shown:,} | "
        f"{source.kept / max(1, source.tokens):.0%} of {source.tokens:,} |"
    )
