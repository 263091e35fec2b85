"""How does the sparse autoencoder learn from the language model's neurons? Resumable to the bit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from features.engine.model.one_layer import OneBlockModel
from features.engine.sae.sae import SparseAutoencoder

from . import checkpoints
from .optimiser import Adam
from .parallel import Workers
from .precision import product_dtype
from .sae import auxiliary, batch_topk
from .sae.initial import initial
from .sae.inputs import HOOK, InputScaling
from .sae.objective import Objective, output_map
from .schedules import geometric, trapezoid
from .text.passes import row_numbers
from .text.tokenizer import BOS

PARTS = 2  # of a batch: the gradients of each are 33 MB to add up
FIRST_ROWS = 512  # whose neurons decide scale, variances and first directions


@dataclass(frozen=True)
class Settings:
    """What decides the weights; tokens may be changed between two runs as long as the decay has not begun."""

    tokens: int = 15_000_000
    features: int = 4096
    k: float = 50.0  # features a token, on average
    start_k: float = 180.0  # at first, so that every feature is used before it has to be chosen
    anneal: int = 2_000_000  # tokens over which k comes down
    batch: int = 32  # rows
    rate: float = 7e-4
    warm: int = 500_000  # tokens over which the rate rises
    decay: float = 0.3  # share of the tokens over which it falls to nothing
    silent: int = 300_000  # tokens without firing after which a feature is helped
    seed: int = 0
    workers: int = 2
    neuron_share: float = 0.2  # of the neurons themselves in the loss; the rest is their effect on the predictions
    dtype: torch.dtype | None = None  # of the dense products; None: the quicker one, see precision.py
    device: str = "cpu"
    checkpoints: tuple[float, ...] = (0.01, 0.1, 0.4, 0.7)  # shares of the tokens after which one is kept


class Run:
    """A sparse autoencoder on its way. `model` is only read: at HOOK, and its map from there to the logits."""

    STATE = ("dtype", "silent", "threshold", "usual_length", "done", "seconds", "curve")

    def __init__(self, model: OneBlockModel, rows: np.ndarray, settings: Settings):
        self.model, self.rows, self.settings = model, rows, settings
        self.done, self.seconds = 0, 0.0  # tokens, of processor time
        self.threshold = 0.0  # running mean of the batches', for x
        self.usual_length = 0.0  # running mean of the gradient's
        self.curve: list[list[float]] = []  # [tokens, neuron error, effect error, features a token, silent features]
        h = self.neurons(0, min(FIRST_ROWS, len(rows)))
        self.inputs = InputScaling.of(h)
        x = self.inputs(h)
        K = output_map(model.output_map(HOOK), model.unembedding, self.token_shares()).float()
        self.dtype = settings.dtype or product_dtype(settings.device)
        self.objective = Objective.of(K, x, settings.neuron_share)
        self.weights = initial(x, settings.features, settings.start_k, settings.seed)
        self.optimisers = {name: Adam(w, settings.rate, betas=(0.9, 0.999)) for name, w in self.weights.items()}
        self.silent = torch.zeros(settings.features, dtype=torch.int64, device=x.device)  # tokens since it fired
        self.workers = Workers(settings.workers)

    def neurons(self, first: int, count: int) -> Tensor:
        """Activations at HOOK of `count` rows, BOS with the rest; after the last row comes another pass.
        [tokens, d_mlp] float32"""
        chosen = row_numbers(first, count, len(self.rows), self.settings.seed)
        tokens = torch.from_numpy(self.rows[chosen].astype(np.int64)).to(self.model.device)
        return self.model.activations(tokens, HOOK).flatten(0, 1)

    def token_shares(self) -> Tensor:
        """How common each token is in the first rows, one pseudo-count each. [d_vocab] float64"""
        counts = np.bincount(np.asarray(self.rows[:20_000]).ravel(), minlength=self.model.d_vocab) + 1.0
        counts[BOS] = 1.0  # is never predicted
        return torch.from_numpy(counts / counts.sum()).to(self.model.device)

    def k(self) -> float:
        """Features a token at this point of training."""
        s = self.settings
        return geometric(self.done, s.start_k, s.k, s.anneal)

    def step(self) -> batch_topk.Step:
        started, k = time.process_time(), self.k()
        tokens_a_row = self.rows.shape[1]
        first_row, rows_a_part = self.done // tokens_a_row, self.settings.batch // PARTS
        helped = auxiliary.longest_silent(self.silent, self.settings.silent)

        def part(number: int) -> batch_topk.Step:
            x = self.inputs(self.neurons(first_row + number * rows_a_part, rows_a_part))
            forward = batch_topk.forward(self.weights, x, k, self.dtype)
            step = batch_topk.backward(self.weights, forward, self.objective)
            auxiliary.add_gradients(step.gradients, self.weights, forward, helped)
            return step

        whole = batch_topk.Step.mean(self.workers.map(part, range(PARTS)))
        self.move(whole.gradients)
        self.count(whole, rows_a_part * PARTS * tokens_a_row, k)
        self.seconds += time.process_time() - started  # a paused process counts nothing
        return whole

    def count(self, step: batch_topk.Step, tokens: int, k: float) -> None:
        """Takes note of a step that read so many tokens: progress, silence, threshold."""
        self.done += tokens
        self.silent = torch.where(step.fired > 0, 0, self.silent + tokens)
        memory = min(0.999, self.done / (self.done + 100_000))  # of a running mean that is exact at first
        coming_down = k > self.settings.k * 1.001
        self.threshold = step.threshold if coming_down else memory * self.threshold + (1 - memory) * step.threshold

    def move(self, gradients: dict[str, Tensor]) -> None:
        """One step of Adam; decoder rows stay on the unit sphere."""
        s, W_dec = self.settings, self.weights["W_dec"]
        self.clip(gradients)
        scale = trapezoid(self.done, s.tokens, s.warm, s.decay)
        # What would change a decoder row's length is taken out of its gradient.
        outwards = (gradients["W_dec"] * W_dec).sum(1, keepdim=True)
        gradients["W_dec"].addcmul_(outwards, W_dec, value=-1)
        self.workers.map(lambda name: self.optimisers[name].step(gradients[name], scale), list(self.weights))
        W_dec.div_(W_dec.norm(dim=1, keepdim=True))

    def clip(self, gradients: dict[str, Tensor]) -> None:
        """Cuts a gradient to twice the usual length: one freak batch would throw Adam off for dozens of steps."""
        length = float(sum(g.square().sum() for g in gradients.values())) ** 0.5
        most = 2 * self.usual_length if self.usual_length else length
        for gradient in gradients.values():
            gradient.mul_(min(1.0, most / max(length, 1e-30)))
        self.usual_length = 0.98 * self.usual_length + 0.02 * min(length, most) if self.usual_length else length

    def finished(self) -> SparseAutoencoder:
        """The SAE for the neurons as they are, decoder rows of length one: what is exported."""
        return self.inputs.folded(self.weights, self.threshold)


def train(
    model: OneBlockModel,
    rows: np.ndarray,  # [rows, n_ctx]
    path: Path,
    settings: Settings,
    on_checkpoint: Callable[[Run, int], None] = lambda run, number: None,
    save_every: float = 120.0,
    report: Callable[[str], None] = print,
    report_every: int = 100,
) -> Run:
    """Trains to the end, from the state at `path` if there is one; saves it there every so many seconds.

    `on_checkpoint` is called once after each share of the tokens that the settings name. Raises FloatingPointError
    where the error is no longer finite.
    """
    run, saved = Run(model, rows, settings), time.monotonic()
    if state := checkpoints.load(path, settings.device):
        checkpoints.restore(run, state)
    steps, reported = [], time.monotonic()
    while run.done < settings.tokens:
        before = run.done
        step = run.step()
        steps.append((step.neuron_error, step.effect_error, float(step.fired.sum())))
        for number, share in enumerate(settings.checkpoints):
            if before < share * settings.tokens <= run.done:
                on_checkpoint(run, number)
        if len(steps) == report_every:
            report(progress(run, steps, time.monotonic() - reported))
            steps, reported = [], time.monotonic()
        if not math.isfinite(step.neuron_error):
            raise FloatingPointError(
                f"The error is not finite after {run.done:,} tokens; the last checkpoint is whole."
            )
        if time.monotonic() - saved > save_every:
            checkpoints.save(path, checkpoints.state_of(run))
            saved = time.monotonic()
    checkpoints.save(path, checkpoints.state_of(run))
    return run


def progress(run: Run, steps: list[tuple[float, float, float]], seconds: float) -> str:
    """One line: how far, how good, how fast, how long still. Adds a point to the curve.

    `steps`: neuron error, effect error and number of activations of each of the last ones.
    """
    per_step = run.settings.batch * run.rows.shape[1]
    neuron_error, effect_error, fired = np.mean(steps, axis=0)
    silent = int((run.silent > run.settings.silent).sum())
    run.curve.append([run.done, float(neuron_error), float(effect_error), float(fired / per_step), silent])
    speed = len(steps) * per_step / seconds
    return (
        f"sae {run.done / 1e6:.2f} of {run.settings.tokens / 1e6:.0f} M tokens, "
        f"unexplained {neuron_error:.3f} of the neurons, {effect_error:.3f} of their effect, "
        f"{fired / per_step:.1f} features a token, {silent} silent, threshold {run.threshold:.3f}, "
        f"{speed:,.0f} tokens/s, {(run.settings.tokens - run.done) / speed / 60:.0f} min left"
    )
