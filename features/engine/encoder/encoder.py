"""Which features are active on which tokens: the encoder's product, and only what survives it.

What computes them is chosen here and nowhere else:

    implementation             file                 for
    dense, float32             dense.py             any SAE on any device
    screened by bfloat16       bfloat16_screen.py   plain SAEs, where bfloat16 multiplies faster and the bound is tight
    screened by int8           int8_screen.py       plain SAEs on a CPU with exact products of bytes, likewise
      and what is not ruled out, exactly:
        numba loops            exact.py             on a CPU
        tensors                exact.py             elsewhere
    Triton, whole chunks       gpu_finder.py        on a CUDA device that compiles its kernels, dense or by bfloat16

`screens_to_try` says which screens an SAE can have here, `Encoder.calibrate` which one is used, `EXACT` who computes
what is left, `gpu_finders` whether Triton does it all.
"""

import logging
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..kernels.sparse import stable_argsort
from ..sae.sae import SparseAutoencoder
from .autotune import WORTH_IT, multiplies_bytes_exactly, relative_matmul_cost
from .bfloat16_screen import Bfloat16Screen
from .dense import CooEntries, dense_entries
from .exact import column_tiles, exact_by_loops, exact_by_tensors
from .int8_screen import WIDEST, Int8Screen

log = logging.getLogger(__name__)

SCREENS = {"bfloat16": Bfloat16Screen, "int8": Int8Screen}
SCREEN_CHOICES = ("auto", "on", "off", *SCREENS)
EXACT = {"cpu": exact_by_loops}  # by device type; elsewhere exact_by_tensors
TOKENS = 2048  # encoded at a time: the entries that survive the screen gather them from the cache
DENSE_BYTES = 128 << 20  # of the float32 product held at a time
LEAST_WEIGHTS = 1 << 20  # an encoder has to have for "auto" to try a screen
TRIED_TOKENS = 512  # that a screen is tried on
EXACT_COST = 10  # times what an entry costs in the whole float32 product, if it is computed by itself


class Encoder:
    """Finds the active entries of an SAE, by a screen where that is faster, else in float32 alone."""

    def __init__(self, sae: SparseAutoencoder, screen: str = "auto"):
        """`screen` names a number format; "on" takes the fastest here, "auto" none if it does not pay, "off" none.
        Only SAEs whose features stand alone can be screened. Raises ValueError."""
        self.sae, self._untried, self._forced = sae, screens_to_try(sae, screen), screen != "auto"
        self.screen_name: str | None = None
        self.screen: Bfloat16Screen | Int8Screen | None = None  # once calibrated, if there is one
        self._scratch = Scratch()
        self._tiles: list[Tensor] = []  # of the screened weights, [d_sae, columns] each; on a GPU one

    @property
    def is_screened(self) -> bool:
        """Whether entries are screened, once calibrated."""
        return self.screen is not None

    @property
    def rows(self) -> Tensor:
        """The encoder's weights feature by feature, where they are screened. [d_sae, d_in]"""
        return self._tiles[0] if len(self._tiles) == 1 else torch.cat(self._tiles, 1)

    def calibrate(self, hook: Tensor) -> None:
        """Choose a screen and centre it, for activations like these [tokens, d_in], unless there are none.

        Which entries are active does not depend on it.
        """
        untried = self._untried  # another thread may be ahead and empty it
        if not untried or not len(hook):
            return
        if not self._forced:
            # A screen whose product alone costs too much need not be made, nor tried.
            untried = {name: cost for name, cost in untried.items() if cost < 1 / WORTH_IT}
        if untried:
            self._choose(untried, hook)
        self._untried = {}

    def _choose(self, untried: dict[str, float], hook: Tensor) -> None:
        name, screen, cost = self._cheapest(untried, hook[:TRIED_TOKENS], hook.mean(0))
        if self._forced or cost < 1 / WORTH_IT:
            self._tiles = column_tiles(self.sae.W_enc.t())
            # Set last: other threads take the screen as soon as it is there, and need the tiles with it.
            self.screen_name, self.screen = name, screen

    def _cheapest(self, untried: dict[str, float], hook: Tensor, mean: Tensor):
        """(name, screen, cost) of the screen whose product and what it lets through cost least; the float32 product
        costs 1."""
        best = None
        for name, product_cost in sorted(untried.items(), key=lambda item: item[1]):
            # No screen after this one can do better: its product alone costs more.
            if best and product_cost >= best[2]:
                break
            screen = SCREENS[name](self.sae, mean)
            cost = product_cost + EXACT_COST * len(screen.candidates(hook)) / (len(hook) * self.sae.config.d_sae)
            if best is None or cost < best[2]:
                best = name, screen, cost
        return best

    def __call__(self, hook: Tensor) -> CooEntries:
        """Every activation of hook [tokens, d_in] that is not 0. Some tokens are encoded at a time. [n] each

        Same as reference.encode: float32 rounding, whatever screen rules entries out before.
        """
        step = TOKENS if self.is_screened else max(1, min(TOKENS, DENSE_BYTES // (4 * self.sae.config.d_sae)))
        parts = [self._encode(part) for part in hook.split(step)]
        if len(parts) == 1:
            return parts[0]
        features, tokens, values = (torch.cat(arrays) for arrays in zip(*parts, strict=True))
        # Each part numbers its tokens from 0: part n's first token is n * step.
        tokens += torch.repeat_interleave(
            step * torch.arange(len(parts), device=hook.device),
            torch.tensor([len(part[0]) for part in parts], device=hook.device),
        )
        # Parts lie one behind the other; a stable sort by feature keeps tokens ascending within each.
        order = stable_argsort(features, self.sae.config.d_sae)
        return features[order], tokens[order], values[order]

    def _encode(self, hook: Tensor) -> CooEntries:
        self.calibrate(hook)
        # Of no tokens there is nothing to be ruled out, and screens share their blocks out among them.
        if not self.is_screened or not len(hook):
            return dense_entries(self.sae, hook, self._scratch)
        exact = EXACT.get(hook.device.type, exact_by_tensors)
        return exact(self.sae, self._tiles, hook, self.screen.candidates(hook))


def screens_to_try(sae: SparseAutoencoder, choice: str) -> dict[str, float]:
    """Which screens `choice`, one of SCREEN_CHOICES, leaves for this SAE on its device, and what each one's product
    costs, the float32 product costing 1. Raises ValueError."""
    if choice not in SCREEN_CHOICES:
        raise ValueError(f"The screen is {choice!r}; it can be {', '.join(SCREEN_CHOICES)}.")
    if choice == "off" or not sae.is_plain or (choice == "auto" and sae.W_enc.numel() < LEAST_WEIGHTS):
        return {}
    can_int8 = sae.device.type == "cpu" and sae.config.d_in <= WIDEST and multiplies_bytes_exactly()
    if choice == "int8" and not can_int8:
        raise ValueError(
            f"Products of {sae.config.d_in:,} bytes are not exact on this device ({sae.device.type}): a CPU with "
            f"instructions for them takes up to {WIDEST:,}. Use the screen bfloat16 or auto."
        )
    if choice in SCREENS:
        # A single one is taken whatever it costs.
        return {choice: 0.0}
    return {name: cost for name, cost in relative_matmul_cost(sae.device).items() if name != "int8" or can_int8}


def gpu_finders(encoders: list[Encoder], tokens: int, kept: list) -> list | None:
    """Triton's finders of the entries of chunks of so many tokens, one an encoder; None where memory does not do.

    `kept` are those that earlier chunks were done with, if there were any: their buffers have grown.
    """
    from .gpu_finder import GpuEntryFinder, fits_memory

    if not all(fits_memory(encoder, tokens) for encoder in encoders):
        return None
    return kept or [GpuEntryFinder(encoder) for encoder in encoders]


@lru_cache
def runs_triton(device: torch.device) -> bool:
    """Whether this is a GPU that Triton's kernels run on. It comes with PyTorch's builds for CUDA on Linux, but needs
    a C compiler when it is first used."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    from .gpu_finder import run_trial

    try:
        run_trial(device)
    except Exception as error:  # whatever a compiler or a driver does: tensors do the same, more slowly
        log.warning("Triton's kernels do not run on %s, so plain tensors are used: %s", device, error)
        return False
    return True
