"""How does the language model learn? From the rows, once or several times over; resumable to the bit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from features.engine.model.one_layer import OneBlockConfig

from . import checkpoints
from .model import bigrams
from .model.forward import Weights, initial
from .model.next_token_loss import loss
from .optimiser import Adam, Muon
from .parallel import Workers
from .precision import product_dtype
from .schedules import trapezoid
from .text.passes import row_numbers

# Rates that kept the head start of the bigrams in runs of 1 M tokens; three times as much lost 0.05 nats.
MUON = 0.015
EMBEDDING, UNEMBEDDING, OTHER = 0.004, 0.0015, 0.003  # Adam's
MATRICES = ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in", "mlp.W_out")


@dataclass(frozen=True)
class ModelSettings:
    """What decides the weights; tokens may be changed between two runs as long as the decay has not begun."""

    tokens: int = 60_000_000
    batch: int = 64  # rows
    warm: int = 400_000  # tokens over which the rate rises
    seed: int = 0
    workers: int = 2
    dtype: torch.dtype | None = None  # of the matrix products; None: the quicker one, see precision.py
    device: str = "cpu"
    bigram_passes: int = 30
    common: int = 1500  # vocabulary entries in every softmax ...
    sampled: int = 700  # ... and those drawn from the others: a third of the time is saved, see `whole`
    whole: float = 0.05  # last share of the tokens, in which the softmax is over all entries
    decay: float = 0.35  # share of the tokens over which the rate falls to nothing


def optimisers(weights: Weights) -> dict[str, Adam | Muon]:
    """One for each weight, by name."""
    rates = {"embed.W_E": EMBEDDING, "unembed.W_U": UNEMBEDDING}
    return {
        name: Muon(w, MUON) if name.endswith(MATRICES) else Adam(w, rates.get(name, OTHER))
        for name, w in weights.items()
    }


class ModelTraining:
    """A language model on its way: weights, optimisers, and how many tokens it has read."""

    STATE = ("dtype", "done", "seconds", "curve")

    def __init__(self, config: OneBlockConfig, settings: ModelSettings):
        self.config, self.settings = config, settings
        self.done, self.seconds = 0, 0.0  # tokens, of processor time
        self.weights = {name: w.to(settings.device) for name, w in initial(config, settings.seed).items()}
        self.optimisers = optimisers(self.weights)
        self.workers = Workers(settings.workers)
        self.dtype = settings.dtype or product_dtype(settings.device)
        self.curve: list[list[float]] = []  # [tokens, mean loss in nats since the last point]

    def begin(self, rows: np.ndarray) -> None:
        """Fits the embeddings to the corpus's pairs of tokens; only before the first step."""
        counts = bigrams.count(rows, self.config.d_vocab).to(self.settings.device)
        losses = bigrams.fit(self.weights, counts, self.settings.bigram_passes, self.dtype, seed=self.settings.seed)
        self.curve += [[0, value] for value in losses[-1:]]

    def step(self, rows: np.ndarray) -> float:
        """One batch of rows [rows, n_ctx]; its loss in nats."""
        s, started = self.settings, time.process_time()
        chosen = row_numbers(self.done // rows.shape[1], s.batch, len(rows), s.seed)
        tokens = torch.from_numpy(rows[chosen].astype(np.int64)).to(s.device)
        trained = [w.requires_grad_() for w in self.weights.values()]
        sample = self.sample()
        mean, gradients = self.workers.gradients(
            lambda part: loss(self.weights, part, self.dtype, sample), trained, tokens
        )
        for weight in trained:
            weight.requires_grad_(False)
        scale = trapezoid(self.done, s.tokens, s.warm, s.decay)
        pairs = zip(self.optimisers.values(), gradients, strict=True)
        self.workers.map(lambda pair: pair[0].step(pair[1], scale), list(pairs))
        self.done += tokens.numel()
        self.seconds += time.process_time() - started  # a paused process counts nothing
        return mean

    def sample(self) -> tuple[int, int, int] | None:
        """Of which part of the vocabulary the softmax is at this point, as `loss` takes it; None: of all."""
        s = self.settings
        near_the_end = self.done >= (1 - s.whole) * s.tokens
        return None if near_the_end or s.common + s.sampled >= self.config.d_vocab else (s.common, s.sampled, self.done)


def train(
    rows: np.ndarray,  # [rows, n_ctx]
    path: Path,
    config: OneBlockConfig,
    settings: ModelSettings,
    save_every: float = 60.0,
    report: Callable[[str], None] = print,
    report_every: int = 100,
) -> ModelTraining:
    """Trains to the end, from the state at `path` if there is one; saves it there every so many seconds.

    Raises FloatingPointError where the loss is no longer finite, ValueError where the state was begun with others.
    """
    report(f"{settings.tokens:,} tokens to read of {rows.size:,}: {settings.tokens / rows.size:.2f} times over")
    run, saved = ModelTraining(config, settings), time.monotonic()
    if state := checkpoints.load(path, settings.device):
        checkpoints.restore(run, state, path)
    else:
        run.begin(rows)
        checkpoints.save(path, checkpoints.state_of(run))
    losses, reported = [], time.monotonic()
    while run.done < settings.tokens:
        losses.append(run.step(rows))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"The loss is not finite after {run.done:,} tokens; the last checkpoint is whole.")
        if len(losses) == report_every:
            run.curve.append([run.done, sum(losses) / len(losses)])
            report(progress(run, len(losses) * settings.batch * rows.shape[1] / (time.monotonic() - reported)))
            losses, reported = [], time.monotonic()
        if time.monotonic() - saved > save_every:
            checkpoints.save(path, checkpoints.state_of(run))
            saved = time.monotonic()
    checkpoints.save(path, checkpoints.state_of(run))
    return run


def progress(run: ModelTraining, speed: float) -> str:
    """One line: how far, how good, how fast, how long still."""
    return (
        f"model {run.done / 1e6:.2f} of {run.settings.tokens / 1e6:.0f} M tokens, "
        f"loss {run.curve[-1][1]:.3f}, "
        f"{speed:,.0f} tokens/s, {(run.settings.tokens - run.done) / speed / 60:.0f} min left"
    )
