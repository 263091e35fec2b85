"""How the sparse autoencoder learns from the language model's neurons, and how its checkpoints are kept."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import checkpoints, dictionary, metric
from . import language_model as lm
from .optimiser import Adam, trapezoid
from .processors import Workers

PARTS = 2  # of a batch: the gradients of each are 33 MB to add up
AIDED = 512  # silent features helped at once, the longest silent: the help is dense and must stay cheap


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
    warm: int = 500_000  # tokens
    asleep: int = 300_000  # tokens without firing after which a feature is helped
    seed: int = 0
    workers: int = 2
    own: float = 0.2  # share of the neurons themselves in the loss; the rest is their effect on the predictions
    device: str = "cpu"
    marks: tuple[float, ...] = (0.01, 0.1, 0.4, 0.7)  # shares of the budget at which a checkpoint is kept


class Run:
    """A sparse autoencoder on its way. Inputs are scaled to a mean norm of sqrt(d_in)."""

    def __init__(self, model: lm.Weights, rows: np.ndarray, settings: Settings):
        self.model, self.rows, self.settings = model, rows, settings
        self.done, self.seconds, self.threshold, self.curve = 0, 0.0, 0.0, []
        self.usual = 0.0  # running mean of the gradient's length
        h = self.neurons(0, min(512, len(rows)))
        self.scale = math.sqrt(h.shape[1]) / float(h.norm(dim=1).mean())
        x = h * self.scale
        shares = np.bincount(np.asarray(rows[:20_000]).ravel(), minlength=model["unembed.b_U"].shape[0]) + 1.0
        shares[0] = 1.0  # BOS is never predicted
        K = metric.output_map(model, torch.from_numpy(shares / shares.sum()).to(settings.device)).float()
        spread = x - x.mean(0)
        variance, said = (float(part.square().sum(1).mean()) for part in (spread, spread @ K))
        self.objective = dictionary.Objective(K, variance, said, settings.own)
        self.weights = dictionary.initial(x, settings.features, settings.start_k, settings.seed)
        self.optimisers = {name: Adam(w, settings.rate, betas=(0.9, 0.999)) for name, w in self.weights.items()}
        self.silent = torch.zeros(settings.features, dtype=torch.int64, device=settings.device)
        self.workers = Workers(settings.workers)

    def neurons(self, first: int, count: int, low: torch.dtype = torch.bfloat16) -> torch.Tensor:
        """hook_post of `count` rows, BOS with the rest: [tokens, d_mlp] float32. After the last row comes
        the first.
        """
        chosen = np.arange(first, first + count) % len(self.rows)
        tokens = torch.from_numpy(self.rows[chosen].astype(np.int64)).to(self.settings.device)
        with torch.no_grad():
            return lm.neurons(self.model, lm.attend(self.model, tokens, low), low).flatten(0, 1).float()

    def k(self) -> float:
        """Features a token at this point of training."""
        s, part = self.settings, min(1.0, self.done / self.settings.anneal)
        return s.start_k ** (1 - part) * s.k**part

    def step(self) -> dictionary.Step:
        s, started, k = self.settings, time.process_time(), self.k()
        tokens_a_row = self.rows.shape[1]
        first, share = self.done // tokens_a_row, s.batch // PARTS
        longest = self.silent.topk(min(AIDED, s.features))
        asleep = longest.indices[longest.values > s.asleep]

        def part(i):
            x = self.neurons(first + i * share, share) * self.scale
            return dictionary.gradients(self.weights, x, k, self.objective, asleep)

        steps = self.workers.map(part, range(PARTS))
        whole = merge(steps)
        self.move(whole.gradients)
        self.done += share * PARTS * tokens_a_row
        self.silent = torch.where(whole.fired > 0, 0, self.silent + share * PARTS * tokens_a_row)
        keep = min(0.999, self.done / (self.done + 100_000))  # a running mean that is exact at first
        self.threshold = whole.threshold if k > s.k * 1.001 else keep * self.threshold + (1 - keep) * whole.threshold
        self.seconds += time.process_time() - started
        return whole

    def move(self, gradients: dict[str, torch.Tensor]) -> None:
        """One step of Adam; decoder rows stay on the unit sphere."""
        s, W_dec = self.settings, self.weights["W_dec"]
        self.clip(gradients)
        scale = trapezoid(self.done, s.tokens, s.warm, decay=0.3)
        along = (gradients["W_dec"] * W_dec).sum(1, keepdim=True)
        gradients["W_dec"].addcmul_(along, W_dec, value=-1)
        self.workers.map(lambda name: self.optimisers[name].step(gradients[name], scale), list(self.weights))
        W_dec.div_(W_dec.norm(dim=1, keepdim=True))

    def clip(self, gradients: dict[str, torch.Tensor]) -> None:
        """Cuts a gradient to twice the usual length: one freak batch would throw Adam off for dozens of steps."""
        length = float(sum(g.square().sum() for g in gradients.values())) ** 0.5
        most = 2 * self.usual if self.usual else length
        for gradient in gradients.values():
            gradient.mul_(min(1.0, most / max(length, 1e-30)))
        self.usual = 0.98 * self.usual + 0.02 * min(length, most) if self.usual else length

    def state(self) -> dict:
        return {
            "weights": self.weights,
            "optimisers": {name: each.state for name, each in self.optimisers.items()},
            "silent": self.silent,
            "threshold": self.threshold,
            "usual": self.usual,
            "done": self.done,
            "seconds": self.seconds,
            "curve": self.curve,
        }

    def restore(self, state: dict) -> None:
        for name, weight in self.weights.items():
            weight.copy_(state["weights"][name])
            for key, value in self.optimisers[name].state.items():
                value.copy_(state["optimisers"][name][key])
        self.silent.copy_(state["silent"])
        for name in ("threshold", "usual", "done", "seconds", "curve"):
            setattr(self, name, state[name])

    def finished(self) -> dict[str, torch.Tensor]:
        """The weights for unscaled neurons, decoder rows of length one: what is exported."""
        w, s = self.weights, self.scale
        # f' = f / s with a' = a / s keeps x^ / s = f' W_dec + b_dec / s, for x = s h
        return {
            "W_enc": w["W_enc"].clone(),
            "b_enc": w["b_enc"] / s,
            "W_dec": w["W_dec"].clone(),
            "b_dec": w["b_dec"] / s,
            "threshold": torch.full_like(w["b_enc"], self.threshold / s),
        }


def merge(steps: list[dictionary.Step]) -> dictionary.Step:
    """The mean of equal parts of a batch, taken in order."""
    first, n = steps[0], len(steps)
    for other in steps[1:]:
        for name, value in other.gradients.items():
            first.gradients[name] += value
    for value in first.gradients.values():
        value /= n
    own, said, threshold = (sum(getattr(s, name) for s in steps) / n for name in ("own", "said", "threshold"))
    return dictionary.Step(own, said, threshold, sum(s.fired for s in steps), first.gradients)


def train(
    model: lm.Weights,
    rows: np.ndarray,  # [rows, n_ctx]
    path: Path,
    settings: Settings,
    keep: Callable[[Run, int], None] = lambda run, number: None,
    save_every: float = 120.0,
    report: Callable[[str], None] = print,
    report_every: int = 100,
) -> Run:
    """Trains to the end, from the checkpoint at `path` if there is one. `keep` is called at every mark,
    once.
    """
    run, saved = Run(model, rows, settings), time.monotonic()
    if state := checkpoints.load(path, settings.device):
        run.restore(state)
    shares, reported = [], time.monotonic()
    while run.done < settings.tokens:
        before = run.done
        step = run.step()
        shares.append((step.own, step.said, float(step.fired.sum())))
        for number, mark in enumerate(settings.marks):
            if before < mark * settings.tokens <= run.done:
                keep(run, number)
        if len(shares) == report_every:
            report(progress(run, shares, time.monotonic() - reported))
            shares, reported = [], time.monotonic()
        if not math.isfinite(step.own):
            raise FloatingPointError(
                f"The error is not finite after {run.done:,} tokens; the last checkpoint is whole."
            )
        if time.monotonic() - saved > save_every:
            checkpoints.save(path, run.state())
            saved = time.monotonic()
    checkpoints.save(path, run.state())
    return run


def progress(run: Run, shares: list, seconds: float) -> str:
    """One line: how far, how good, how fast, how long still. Adds a point to the curve."""
    per_step = run.settings.batch * run.rows.shape[1]
    own, said, fired = np.mean(shares, axis=0)
    asleep = int((run.silent > run.settings.asleep).sum())
    run.curve.append([run.done, float(own), float(said), float(fired / per_step), asleep])
    speed = len(shares) * per_step / seconds
    return (
        f"sae {run.done / 1e6:.2f} of {run.settings.tokens / 1e6:.0f} M tokens, "
        f"unexplained {own:.3f} of the neurons, "
        f"{said:.3f} of their effect, {fired / per_step:.1f} features a token, {asleep} asleep, "
        f"threshold {run.threshold:.3f}, {speed:,.0f} tokens/s, "
        f"{(run.settings.tokens - run.done) / speed / 60:.0f} min left"
    )
