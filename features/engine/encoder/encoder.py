"""Which features are active on which tokens: the encoder's product, and only what survives it."""

import torch
from torch import Tensor

from ..kernels.parallel import Scratch
from ..kernels.sparse import matrix, order_of, places_of
from ..sae.sae import SparseAutoencoder
from .autotune import WORTH_IT, multiplies_bytes_exactly, shares_of_float32
from .bfloat16_screen import Screen
from .int8_screen import WIDEST, Int8Screen

Entries = tuple[Tensor, Tensor, Tensor]  # features, tokens, values: feature by feature, tokens ascending in each
KINDS = {"bfloat16": Screen, "int8": Int8Screen}
SCREENS = ("auto", "on", "off", *KINDS)
TOKENS = 2048  # encoded at a time: the entries that survive the screen gather them from the cache
COLUMNS = 128  # of the hook point at a time, when entries gather
DENSE_BYTES = 128 << 20  # of the float32 product held at a time
LEAST = 1 << 20  # weights an encoder has to have
TRIED = 512  # tokens that a screen is tried on
VERIFYING = 10  # times what an entry costs in the whole float32 product, if it is computed by itself


class Encoder:
    """Finds the active entries of an SAE, by a screen where that is quicker, else in float32 alone."""

    def __init__(self, sae: SparseAutoencoder, screen: str = "auto"):
        """`screen` names a kind of numbers; "on" takes the quickest here, "auto" none if it does not pay, "off" none.
        Only SAEs whose features stand alone can be screened. Raises ValueError."""
        self.sae, self._kinds, self._must = sae, kinds_of_screens(sae, screen), screen != "auto"
        self.kind: str | None = None
        self.screen: Screen | Int8Screen | None = None  # once it is settled, if there is one
        self._scratch = Scratch()
        self._strips: list[Tensor] = []  # of the screened weights, [d_sae, some of d_in] each; on a GPU one

    @property
    def screens(self) -> bool:
        """Whether entries are screened, once it is settled."""
        return self.screen is not None

    @property
    def rows(self) -> Tensor:
        """The encoder's weights feature by feature, where they are screened. [d_sae, d_in]"""
        return self._strips[0] if len(self._strips) == 1 else torch.cat(self._strips, 1)

    def settle(self, hook: Tensor) -> None:
        """Choose a screen and aim it, for activations like these [tokens, d_in], unless there are none. What is found
        does not depend on it."""
        kinds = self._kinds  # another thread may be ahead
        if not kinds or not len(hook):
            return
        kind, screen, cost = self._quickest(kinds, hook[:TRIED], hook.mean(0))
        if self._must or cost < 1 / WORTH_IT:
            self._strips = _strips(self.sae.W_enc.t())
            self.kind, self.screen = kind, screen
        self._kinds = {}

    def _quickest(self, kinds: dict[str, float], hook: Tensor, mean: Tensor):
        """(kind, screen, cost) of the screen whose product and what it lets through cost least; the float32 product
        costs 1."""
        best = None
        for kind, share in sorted(kinds.items(), key=lambda item: item[1]):
            if best and share >= best[2]:
                break
            screen = KINDS[kind](self.sae, mean)
            cost = share + VERIFYING * len(screen.candidates(hook)) / (len(hook) * self.sae.config.d_sae)
            if best is None or cost < best[2]:
                best = kind, screen, cost
        return best

    def __call__(self, hook: Tensor) -> Entries:
        """Every activation of hook [tokens, d_in] that is not 0. Some tokens are encoded at a time.

        Same as reference.encode: float32 rounding, whatever screen rules entries out before.
        """
        step = TOKENS if self.screens else max(1, min(TOKENS, DENSE_BYTES // (4 * self.sae.config.d_sae)))
        parts = [self._encode(part) for part in hook.split(step)]
        if len(parts) == 1:
            return parts[0]
        features, tokens, values = (torch.cat(kind) for kind in zip(*parts, strict=True))
        tokens += torch.repeat_interleave(
            step * torch.arange(len(parts), device=hook.device),
            torch.tensor([len(part[0]) for part in parts], device=hook.device),
        )
        order = order_of(features, self.sae.config.d_sae)
        return features[order], tokens[order], values[order]

    def _encode(self, hook: Tensor) -> Entries:
        self.settle(hook)
        if not self.screens:
            return active_entries(self.sae, hook, self._scratch)
        found = self.screen.candidates(hook)
        verify = _verified_by_loops if hook.device.type == "cpu" else _verified
        return verify(self.sae, self._strips, hook, found)


def _verified(sae: SparseAutoencoder, strips: list[Tensor], hook: Tensor, found: Tensor) -> Entries:
    """The found entries that are active, h W_enc taken of them alone, in float32.

    Strip by strip, so that the tokens' part of a strip stays in the cache while all features gather from it.
    """
    starts, shape = _starts(sae, hook, found), (sae.config.d_sae, len(hook))
    tokens, products = found % len(hook), hook.new_zeros(len(found))
    for rows, columns in zip(strips, _strips(hook), strict=True):
        before = matrix(starts, tokens, products, shape)
        products = torch.sparse.sampled_addmm(before, rows, columns.t()).values()
    return _kept(sae, len(hook), found, products)


def _verified_by_loops(sae: SparseAutoencoder, strips: list[Tensor], hook: Tensor, found: Tensor) -> Entries:
    """The same on a CPU."""
    from ..kernels.numba.screened import active, add_products

    starts, places, products = _starts(sae, hook, found).numpy(), found.numpy(), hook.new_zeros(len(found)).numpy()
    for rows, columns in zip(strips, _strips(hook), strict=True):
        add_products(rows.numpy(), columns.numpy(), starts, places, products)
    features, tokens, values = torch.empty_like(found), torch.empty_like(found), torch.empty(len(found))
    kept = features.numpy(), tokens.numpy(), values.numpy()
    count = active(places, products, starts, len(hook), sae.b_enc.numpy(), sae.floor.numpy(), *kept)
    return features[:count], tokens[:count], values[:count]


def _starts(sae: SparseAutoencoder, hook: Tensor, found: Tensor) -> Tensor:
    """Where each feature's found entries begin. [d_sae + 1]"""
    return torch.searchsorted(found, torch.arange(sae.config.d_sae + 1, device=found.device) * len(hook))


def _strips(rows: Tensor) -> list[Tensor]:
    return [strip.contiguous() for strip in rows.split(rows.shape[1] if rows.is_cuda else COLUMNS, dim=1)]


def active_entries(sae: SparseAutoencoder, hook: Tensor, scratch: Scratch | None = None) -> Entries:
    """The same in float32 from first to last: the plain way.

    The product is taken with features as rows, so that no entry has to be sorted; bias, ReLU and threshold are
    applied to what survives a comparison, not to the whole matrix. Same as reference.encode: float32 rounding.
    """
    if not sae.is_plain:
        dense = sae.encode(hook).t().contiguous()
        found = (dense != 0).view(-1).nonzero().squeeze(1)
        return found // len(hook), found % len(hook), dense.view(-1)[found]
    out = None if scratch is None else scratch.of((sae.config.d_sae, len(hook)), hook)
    products = torch.mm(sae.W_enc.t(), hook.t(), out=out)
    found = places_of(products > _least(sae)[:, None])
    return _kept(sae, len(hook), found, products.view(-1)[found])


def _kept(sae: SparseAutoencoder, tokens: int, found: Tensor, products: Tensor) -> Entries:
    """Those of the found entries that are active once the bias is added, with their values."""
    features = found // tokens
    values = products + sae.b_enc[features]
    keep = values > 0
    if sae.threshold is not None:
        keep &= values > sae.threshold[features]
    return features[keep], found[keep] % tokens, values[keep]


def _least(sae: SparseAutoencoder) -> Tensor:
    """A product at or below it cannot become active. Without a threshold, and only if it is above -b_enc is
    the rounded sum positive; with one, a margin for the sum's rounding is left. [d_sae]"""
    if sae.threshold is None:
        return -sae.b_enc
    return sae.floor - sae.b_enc - 1e-5 * (sae.threshold.abs() + sae.b_enc.abs())


def kinds_of_screens(sae: SparseAutoencoder, asked: str) -> dict[str, float]:
    """Which screens `asked`, one of SCREENS, leaves for this SAE on its device, and what share of the float32 product's
    time each one's takes. Raises ValueError."""
    if asked not in SCREENS:
        raise ValueError(f"The screen is {asked!r}; it can be {', '.join(SCREENS)}.")
    if asked == "off" or not sae.is_plain or (asked == "auto" and sae.W_enc.numel() < LEAST):
        return {}
    can_int8 = sae.device.type == "cpu" and sae.config.d_in <= WIDEST and multiplies_bytes_exactly()
    if asked == "int8" and not can_int8:
        raise ValueError(
            f"Products of {sae.config.d_in:,} bytes are not exact on this device ({sae.device.type}): a CPU with "
            f"instructions for them takes up to {WIDEST:,}. Use the screen bfloat16 or auto."
        )
    if asked in KINDS:
        return {asked: 0.0}
    return {kind: share for kind, share in shares_of_float32(sae.device).items() if kind != "int8" or can_int8}
