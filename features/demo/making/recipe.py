"""In which order is the demo made? Text -> rows -> language model -> SAE -> bundle; each stage done once."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import bundle, checkpoints, processors, rows, sae_files, tokenizer, train_model, train_sae
from . import language_model as lm


@dataclass(frozen=True)
class Recipe:
    """Where from, where to, and the settings of both trainings."""

    corpus: Path
    out: Path
    held_out: Path | None = None  # .npy of token rows, kept out of training and measured on
    tokenizer: Path | None = None  # else one is trained
    measured_on: Path | None = None  # folder of texts for the densities; else the corpus
    shape: lm.Shape = field(default_factory=lm.Shape)
    model: train_model.Settings = field(default_factory=train_model.Settings)
    sae: train_sae.Settings = field(default_factory=train_sae.Settings)

    @property
    def bundle(self) -> Path:
        return self.out / "bundle"

    def held_out_rows(self) -> np.ndarray:
        return np.load(self.held_out) if self.held_out else np.zeros((0, self.shape.n_ctx), np.uint16)


def make(recipe: Recipe, report: Callable[[str], None] = print) -> Path:
    """Goes on from wherever an earlier call was stopped; returns the bundle's folder."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    token_rows = prepare(recipe, report)
    model = train_model.train(token_rows, recipe.out / "model.pt", recipe.shape, recipe.model, report=report)
    bundle.write_model(recipe.bundle, model.weights, recipe.shape, recipe.out / "tokenizer.json")
    weights, _ = lm.load(recipe.bundle / "model", recipe.sae.device)  # as shipped: rounded to float16

    def keep(run, number):
        bundle.write_checkpoint(recipe.bundle, run)

    sae = train_sae.train(weights, token_rows, recipe.out / "sae.pt", recipe.sae, keep, report=report)
    sae_files.write(recipe.bundle / "sae", sae.finished(), sae.done, recipe.shape.n_ctx)
    finish(recipe, model, sae, token_rows, report)
    return recipe.bundle


def prepare(recipe: Recipe, report: Callable[[str], None]) -> np.ndarray:
    """Tokenizer and rows, made in a few minutes the first time."""
    path, pieces_path = recipe.out / "rows.u16", recipe.out / "tokenizer.json"
    if not path.exists():
        report("reading the corpus")
        texts = list(rows.documents(recipe.corpus))
        pieces = tokenizer.load(recipe.tokenizer) if recipe.tokenizer else tokenizer.train(texts, recipe.shape.d_vocab)
        pieces.save(str(pieces_path))
        checkpoints.write_json(recipe.out / "sources.json", rows.sources(recipe.corpus))
        report(f"cutting {len(texts):,} documents into rows")
        kept = rows.write(path, rows.cut(pieces, texts, recipe.shape.n_ctx), recipe.held_out_rows(), recipe.model.seed)
        report(f"{kept:,} rows of {recipe.shape.n_ctx} tokens")
    return rows.read(path, recipe.shape.n_ctx)


def finish(recipe: Recipe, model, sae, token_rows, report) -> None:
    """Measures the bundle where there are held-out rows to measure on, and writes its README."""
    facts = {
        "seed": recipe.model.seed,
        "rows": len(token_rows),
        "sources": checkpoints.read_json(recipe.out / "sources.json"),
        "model_tokens": model.done,
        "model_seconds": round(model.seconds),
        "model_curve": model.curve,
        "features": recipe.sae.features,
        "k": recipe.sae.k,
        "sae_tokens": sae.done,
        "sae_seconds": round(sae.seconds),
        "sae_curve": sae.curve,
    }
    figures = None
    if recipe.held_out:
        report("measuring")
        figures = bundle.measure(recipe.bundle, recipe.held_out_rows(), recipe.measured_on or recipe.corpus)
        for line in figures.lines():
            report(line)
    bundle.write_readme(recipe.bundle, facts, figures)


def announce(out: Path, niceness: int) -> None:
    """Makes way for other programs, and writes this process's number to `pids`, for those who want to pause
    it.
    """
    processors.settle(niceness)
    out.mkdir(parents=True, exist_ok=True)
    (out / "pids").write_text(f"{os.getpid()}\n")
