"""In which order is the demo made? Text -> rows -> language model -> SAE -> bundle; each stage done once."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from features.engine.corpus.token_rows import open_rows, pack, save_rows
from features.engine.model.language_model import load_model
from features.engine.model.one_layer import OneBlockConfig

from . import accident, bundle, checkpoints, parallel, train_model, train_sae
from .text import documents, overlap, selection, tokenizer

DEMO = OneBlockConfig(d_model=384, n_heads=6, d_head=64, d_mlp=1024, d_vocab=8192, n_ctx=128)


@dataclass(frozen=True)
class Plan:
    """Where from, where to, and the settings of both trainings."""

    corpus: Path
    out: Path
    held_out: Path | None = None  # .npy of token rows, kept out of training and measured on
    tokenizer: Path | None = None  # a tokenizer.json; else one is trained
    measured_on: Path | None = None  # the texts that the site shows: not trained on, but measured on; else the corpus
    without: tuple[str, ...] = ()  # sources that are not trained on
    given_model: Path | None = None  # a model's folder, taken as it is; its tokenizer cuts the rows
    config: OneBlockConfig = DEMO
    model: train_model.ModelSettings = field(default_factory=train_model.ModelSettings)
    sae: train_sae.SAESettings = field(default_factory=train_sae.SAESettings)
    spoilt: accident.Course = field(default_factory=accident.Course)

    @property
    def bundle(self) -> Path:
        return self.out / "bundle"

    @property
    def rows(self) -> Path:
        return self.out / "rows.npy"

    def held_out_rows(self) -> np.ndarray:
        return np.load(self.held_out) if self.held_out else np.zeros((0, self.config.n_ctx), np.uint16)


def make(plan: Plan, report: Callable[[str], None] = print) -> Path:
    """Goes on from wherever an earlier call was stopped; returns the bundle's folder.

    Raises ValueError or FileNotFoundError where corpus, tokenizer or budget do not do.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    if not plan.rows.exists():
        write_rows(plan, report)
    rows = open_rows(plan.rows)
    reading = language_model(plan, rows, report)
    shipped = load_model(plan.bundle / "model", plan.sae.device)  # rounded to float16
    sae = train_sae.train(
        shipped,
        rows,
        plan.out / "sae.pt",
        plan.sae,
        on_checkpoint=lambda run, number: bundle.write_checkpoint(plan.bundle, run),
        report=report,
    )
    bundle.write_sae(plan.bundle / "sae", sae.finished(), sae.done, plan.config.n_ctx)
    if not (plan.bundle / "accident").exists():
        lost = accident.provoke(shipped, rows, plan.out / "accident.pt", plan.sae, plan.spoilt, report)
        bundle.write_accident(plan.bundle, lost, plan.config.n_ctx)
    finish(plan, reading, sae, len(rows), report)
    return plan.bundle


def language_model(plan: Plan, rows: np.ndarray, report: Callable[[str], None]) -> dict:
    """Puts the model into the bundle, trained or as it was given; what it has read, as `figures.json` keeps it."""
    if plan.given_model:
        bundle.copy_model(plan.bundle, plan.given_model)
        known = checkpoints.read_json(plan.given_model.parent / "figures.json")
        return {name: known.get(name) for name in ("model_tokens", "model_seconds", "model_curve")}
    model = train_model.train(rows, plan.out / "model.pt", plan.config, plan.model, report=report)
    bundle.write_model(plan.bundle, model.weights, plan.config, plan.out)
    return {"model_tokens": model.done, "model_seconds": round(model.seconds), "model_curve": model.curve}


def write_rows(plan: Plan, report: Callable[[str], None]) -> None:
    """Tokenizer and training rows, some ten minutes."""
    report("reading the corpus")
    named = selection.less(list(documents.named_documents(plan.corpus)), plan.without)
    at = plan.given_model / "tokenizer.json" if plan.given_model else plan.tokenizer
    given = Tokenizer.from_file(str(at)) if at else None
    tokenizer.write(plan.out, given or tokenizer.train([text for _, text in named], plan.config.d_vocab))
    vocabulary = tokenizer.read(plan.out)
    report(f"choosing among {len(named):,} documents")
    shown = documents.documents(plan.measured_on) if plan.measured_on else ()
    chosen = selection.select(named, shown, vocabulary)
    checkpoints.write_json(plan.out / "sources.json", chosen.table())
    report(f"cutting {len(chosen.documents):,} documents into rows")
    cut = pack(chosen.documents, vocabulary, plan.config.n_ctx)
    new = cut[~overlap.repeats(cut)]
    rows = overlap.training_rows(new, plan.held_out_rows(), plan.model.seed)
    save_rows(plan.rows, rows)
    report(
        f"{len(rows):,} rows of {plan.config.n_ctx} tokens; left out: {len(cut) - len(new):,} that repeat rows before "
        f"them, {len(new) - len(rows):,} that overlap the held-out ones"
    )


def finish(plan: Plan, reading: dict, sae: train_sae.SAETraining, rows: int, report: Callable[[str], None]) -> None:
    """Measures the bundle where there are held-out rows to measure on, and writes its README."""
    facts = {
        "seed": plan.model.seed,
        "rows": rows,
        "sources": checkpoints.read_json(plan.out / "sources.json"),
        **reading,
        "features": plan.sae.features,
        "k": plan.sae.k,
        "sae_tokens": sae.done,
        "sae_seconds": round(sae.seconds),
        "sae_curve": sae.curve,
        "sae_went_back": sae.skipped,
        "accident": checkpoints.read_json(plan.bundle / "accident" / "accident.json"),
    }
    measured = None
    if plan.held_out:
        report("measuring")
        measured = bundle.measure(plan.bundle, plan.held_out_rows(), plan.measured_on or plan.corpus)
        for line in measured.lines():
            report(line)
    bundle.write_readme(plan.bundle, facts, measured)


def announce(out: Path, niceness: int) -> None:
    """Makes way for other programs, and writes this process's number to `pids`, for those who want to pause it."""
    parallel.be_nice(niceness)
    parallel.one_thread_an_operation()
    out.mkdir(parents=True, exist_ok=True)
    (out / "pids").write_text(f"{os.getpid()}\n")
