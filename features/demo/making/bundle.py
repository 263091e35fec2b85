"""What is shipped: model/, sae/, checkpoints/ on the way to it, figures.json and a README that says how it
was made.
"""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from . import checkpoints, evaluate, rows, sae_files, tokenizer
from . import language_model as lm

TOKENIZER_CONFIG = {
    "backend": "tokenizers",
    "bos_token": tokenizer.SPECIAL[tokenizer.BOS],
    "eos_token": tokenizer.SPECIAL[tokenizer.EOS],
    "pad_token": tokenizer.SPECIAL[tokenizer.PAD],
    "tokenizer_class": "TokenizersBackend",
}


def write_model(bundle: Path, weights: lm.Weights, shape: lm.Shape, tokenizer_file: Path) -> None:
    """model/: weights, config and tokenizer, as transformer_lens and transformers read them."""
    lm.export(bundle / "model", weights, shape)
    shutil.copyfile(tokenizer_file, bundle / "model" / "tokenizer.json")
    checkpoints.write_json(bundle / "model" / "tokenizer_config.json", TOKENIZER_CONFIG)


def write_checkpoint(bundle: Path, run) -> None:
    """checkpoints/<tokens read>: the SAE as it is now, rounded to compress well, and usable as it stands."""
    folder = bundle / "checkpoints" / f"{run.done:09d}"
    sae_files.write(folder, run.finished(), run.done, run.rows.shape[1], small=True)


def measure(bundle: Path, held_out: np.ndarray, corpus: Path, tokens: int = 500_000) -> evaluate.Figures:
    """Quality of bundle/sae on bundle/model; densities over the texts of a folder. A figure a field, see
    there.
    """
    weights, shape = lm.load(bundle / "model")
    pieces = tokenizer.load(bundle / "model" / "tokenizer.json")
    # every eighth document, so that the first sources do not stand for all
    texts = list(rows.documents(corpus))
    texts = [text for first in range(8) for text in texts[first::8]]
    cut = rows.cut(pieces, texts[: max(1, len(texts) // 4)], shape.n_ctx)
    if len(cut) * shape.n_ctx < tokens * 1.02:
        cut = rows.cut(pieces, texts, shape.n_ctx)
    return evaluate.measure(weights, sae_files.read(bundle / "sae"), held_out, cut, tokens)


def write_readme(bundle: Path, facts: dict, figures: evaluate.Figures | None) -> None:
    """README.md and figures.json. `facts`: what `recipe.make` knows of its settings, seeds, time and
    sources.
    """
    checkpoints.write_json(bundle / "figures.json", {**facts, "figures": asdict(figures) if figures else None})
    sources = "\n".join(f"| {name} | {count:,} | {characters / 1e6:.1f} |"
                        for name, (count, characters) in facts["sources"].items())  # fmt: skip
    quality = "\n".join(f"    {line}" for line in figures.lines()) if figures else "    not measured"
    (bundle / "README.md").write_text(
        f"""# gelu-1l-mini and its sparse autoencoder

Made by `python manage.py make_demo`, seed {facts["seed"]}.

- `model/`: one-block GELU transformer in transformer_lens's names, float16.
  Read {facts["model_tokens"]:,} tokens in {facts["model_seconds"] / 3600:.1f} CPU hours.
- `sae/`: {facts["features"]:,} features on `{sae_files.HOOK}`, JumpReLU, SAELens's layout, float16.
  Read {facts["sae_tokens"]:,} tokens in {facts["sae_seconds"] / 3600:.1f} CPU hours; {facts["k"]:g} fire on a token.
- `checkpoints/`: the same SAE after so many tokens, its matrices on a coarse grid so that they compress.

Quality (`python manage.py measure_demo`):

{quality}

Trained on {facts["rows"]:,} rows of these texts, by the names that their corpus gives them. Rows that share
{rows.WINDOW} tokens in a row with a held-out row were left out.

| source | documents | million characters |
|---|---|---|
{sources}
"""
    )
