"""A sparse autoencoder on its way: what one step of training does to it."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from features.engine.model.one_layer import OneBlockModel
from features.engine.sae.sae import SparseAutoencoder

from ..optimiser import Adam
from ..parallel import Workers
from ..precision import product_dtype
from ..schedules import geometric, trapezoid
from ..text.passes import row_numbers
from ..text.tokenizer import BOS
from . import auxiliary, batch_topk
from .initial import initial
from .inputs import HOOK, InputScaling
from .objective import Objective, output_map
from .watch import JumpWatch

PARTS = 2  # of a batch: the gradients of each are 33 MB to add up
FIRST_ROWS = 512  # whose neurons decide centre, scale, variances and first directions
STEPS_HELPED = 16  # for which the same features are helped


@dataclass(frozen=True)
class SAESettings:
    """What decides the weights, from start to end; tokens alone may be changed under way, until the decay begins."""

    tokens: int = 20_000_000
    features: int = 4096
    k: float = 45.0  # features a token, on average
    start_k: float = 180.0  # at first, so that every feature is used before it has to be chosen
    anneal: int = 2_000_000  # tokens over which k comes down
    batch: int = 32  # rows
    rate: float = 7e-4
    warm: int = 500_000  # tokens over which the rate rises
    decay: float = 0.3  # share of the tokens over which it falls to nothing
    window: int = 1_000_000  # last tokens over which it is counted how rarely a feature fires
    help_from: int = 300_000  # tokens; before, a rate says little
    seed: int = 0
    workers: int = 2
    neuron_share: float = 0.2  # of the neurons themselves in the loss; the rest is their effect on the predictions
    dtype: torch.dtype | None = None  # of the dense products; None: the quicker one, see precision.py
    device: str = "cpu"
    checkpoints: tuple[float, ...] = (0.01, 0.05, 0.15, 0.4, 0.7)  # shares of the tokens after which one is kept
    centred: bool = True  # the encoder reads neurons less their mean
    watched: bool = True  # goes back to the last checkpoint where the error jumps


class SAETraining:
    """A sparse autoencoder on its way. `model` is only read: at HOOK, and its map from there to the logits."""

    STATE = (
        "dtype",
        "recent",
        "helped",
        "threshold",
        "usual_length",
        "watch",
        "skipped",
        "done",
        "seconds",
        "curve",
    )

    def __init__(self, model: OneBlockModel, rows: np.ndarray, settings: SAESettings):
        self.model, self.rows, self.settings = model, rows, settings
        self.done, self.seconds = 0, 0.0  # tokens, of processor time
        self.threshold = 0.0  # running mean of the batches', for x
        self.usual_length = 0.0  # running mean of the gradient's
        self.skipped = 0  # tokens of text not read again after going back to a checkpoint
        self.watch = JumpWatch()
        self.curve: list[list[float]] = []  # [tokens, neuron error, effect error, features a token, needy features]
        h = self.neurons(0, min(FIRST_ROWS, len(rows)))
        self.inputs = InputScaling.of(h, settings.centred)
        x = self.inputs(h)
        K = output_map(model.output_map(HOOK), model.unembedding, self.token_shares()).float()
        self.dtype = settings.dtype or product_dtype(settings.device)
        self.objective = Objective.of(K, x, settings.neuron_share)
        self.weights = initial(x, settings.features, settings.start_k, settings.seed)
        self.optimisers = self.fresh_optimisers()
        self.recent = auxiliary.Recent.empty(settings.features, x.device)
        self.helped = torch.zeros(0, dtype=torch.int64, device=x.device)  # indices of features
        self.workers = Workers(settings.workers)

    def fresh_optimisers(self) -> dict[str, Adam]:
        """One for each weight, that remembers nothing."""
        return {name: Adam(w, self.settings.rate, betas=(0.9, 0.999)) for name, w in self.weights.items()}

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

    def step(self) -> batch_topk.GradientStep:
        started, k = time.process_time(), self.k()
        tokens_a_row = self.rows.shape[1]
        first_row, rows_a_part = (self.done + self.skipped) // tokens_a_row, self.settings.batch // PARTS
        self.choose_helped(rows_a_part * PARTS * tokens_a_row)

        def part(number: int) -> batch_topk.GradientStep:
            x = self.inputs(self.neurons(first_row + number * rows_a_part, rows_a_part))
            forward = batch_topk.forward(self.weights, x, k, self.dtype)
            step = batch_topk.backward(self.weights, forward, self.objective)
            auxiliary.add_gradients(step.gradients, self.weights, forward, self.helped)
            return step

        whole = batch_topk.GradientStep.mean(self.workers.map(part, range(PARTS)))
        self.move(whole.gradients)
        self.count(whole, rows_a_part * PARTS * tokens_a_row, k)
        self.seconds += time.process_time() - started  # a paused process counts nothing
        return whole

    def choose_helped(self, tokens_a_step: int) -> None:
        """Every few steps, which features are helped in the next ones."""
        if self.done >= self.settings.help_from and self.done // tokens_a_step % STEPS_HELPED == 0:
            self.helped = auxiliary.helped(self.weights, self.recent.rates())

    def needy(self) -> int:
        """How many features need help."""
        return int(auxiliary.needy(self.weights, self.recent.rates()).sum())

    def count(self, step: batch_topk.GradientStep, tokens: int, k: float) -> None:
        """Takes note of a step that read so many tokens: progress, how rarely features fire, errors, threshold."""
        self.done += tokens
        self.recent.add(step.fired, tokens, self.settings.window)
        self.watch.see((step.neuron_error, step.effect_error))
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
