"""What does an SAE make of whole rows that a pass has read? From its active entries: only what was not counted is
encoded again."""

import numpy as np
import torch
from torch import Tensor

from ..activity.top_examples import TokenLayout
from ..corpus.token_rows import counted_mask
from ..encoder.encoder import Encoder
from ..encoder.reconstruction import reconstruct
from ..store.active_entries import ActiveEntries


class RebuiltRows:
    """Of some rows of a pass."""

    def __init__(self, encoder: Encoder, entries: ActiveEntries, layout: TokenLayout, special: set[int], rows):
        """`rows` [n]: their numbers, ascending; `special` ids are not counted."""
        self.encoder, self.rows = encoder, np.asarray(rows)
        ids = layout.rows[self.rows]
        self.uncounted = ~counted_mask(ids, special)  # [n, length]
        self.uncounted[:, : layout.first] = True
        place = np.full(len(layout.rows), -1)
        place[self.rows] = np.arange(len(self.rows))
        parts = [np.zeros((4, 0)), *(_of(chunk, layout, place) for chunk in entries.chunks(self.rows * layout.width))]
        found = np.concatenate(parts, axis=1)
        found = found[:, np.argsort(found[0], kind="stable")]
        self._offsets = np.searchsorted(found[0], np.arange(len(self.rows) + 1))
        self._places, self._features, self._positions = found[:3].astype(np.int64)
        self._values = found[3].astype(np.float32)

    def __call__(self, places: range, h: Tensor) -> Tensor:
        """h' of activations h [len(places), length, d_in] at the hook point; `places` among the rows, one after
        another."""
        sae, flat, length = self.encoder.sae, h.flatten(0, -2).float(), h.shape[1]
        mine = slice(self._offsets[places.start], self._offsets[places.stop])
        # A token's number among all of these rows'.
        tokens = (self._places[mine] - places.start) * length + self._positions[mine]
        left = torch.from_numpy(np.flatnonzero(self.uncounted[places.start : places.stop])).to(flat.device)
        features, at, values = self.encoder(flat[left])
        known = (torch.from_numpy(each).to(flat.device) for each in (self._features[mine], tokens, self._values[mine]))
        again = (features, left[at], values)
        return reconstruct(sae, flat, *map(torch.cat, zip(known, again, strict=True))).view(h.shape)


def _of(chunk, layout: TokenLayout, place: np.ndarray) -> np.ndarray:
    """Place of the row, feature, position and value of the wanted entries of a chunk. [4, n] float64"""
    # token // width is the row, token % width the position behind `first`.
    row, position = np.divmod(chunk.first + chunk.tokens.astype(np.int64), layout.width)
    wanted = place[row] >= 0
    features = np.repeat(np.arange(len(chunk.counts)), chunk.counts)
    found = place[row], features, position + layout.first, chunk.values
    return np.stack([each[wanted] for each in found]).astype(np.float64)
