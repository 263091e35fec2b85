"""One shard's pass over its rows: activations, active entries, sums, for all features at once."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .encoding import Encoder
from .entries import EntriesWriter, Piece
from .reconstruction import squared_error
from .sae import SparseAutoencoder
from .sparse import starts_of
from .subject import Subject
from .sums import StreamingSums
from .threads import side_by_side

FORWARD_TOKENS = 2048  # through the model at a time: its activations stay in the cache
SIDES = ("a", "b")  # folders of the entries of the SAE, and of a second one on the same hook point


class Pass:
    """What every piece of a corpus goes through."""

    def __init__(self, subject: Subject, bos: bool, encoder_b: SparseAutoencoder | None = None, screen: str = "auto"):
        """Rows start with a BOS that is not counted if `bos`; `encoder_b` is a second SAE on the same hook point;
        `screen` as in `Encoder`."""
        self.subject, self.first = subject, int(bos)
        self.encoders = [Encoder(sae, screen) for sae in (subject.sae, encoder_b) if sae is not None]
        self.special = sorted(subject.vocabulary.special)

    def over(self, rows: np.ndarray, span: tuple[int, int], rows_a_piece: int, folder: Path, done) -> None:
        """Writes entries and sums of rows span[0] to span[1] into the folder; `done(tokens)` after each piece."""
        sae = self.subject.sae
        sums = StreamingSums(sae.config.d_sae, sae.config.d_in, self.subject.device)
        self._settle(rows, span, rows_a_piece)
        starts = range(*span, rows_a_piece)
        work = (partial(self._piece, rows[at : min(at + rows_a_piece, span[1])], at, sums) for at in starts)
        with ExitStack() as stack:
            writers = [stack.enter_context(EntriesWriter(folder / name)) for name in SIDES[: len(self.encoders)]]
            run = stack.enter_context(side_by_side(self.subject.device))
            for tokens, pieces in run(work):
                for writer, piece in zip(writers, pieces, strict=True):
                    writer.append(piece)
                done(tokens)
        sums.save(folder)

    def _settle(self, rows, span, rows_a_piece) -> None:
        if all(encoder.is_settled for encoder in self.encoders):
            return
        few = self._hook(rows[span[0] : min(span[0] + max(1, rows_a_piece // 4), span[1])])[0]
        for encoder in self.encoders:
            encoder.settle(few)

    @torch.no_grad()
    def _piece(self, rows: np.ndarray, start: int, sums: StreamingSums) -> tuple[int, list[Piece]]:
        """Counted tokens of the piece, and its entries by each encoder."""
        hook, places = self._hook(rows)
        width = rows.shape[1] - self.first
        pieces = []
        for n, encoder in enumerate(self.encoders):
            features, tokens, values = found = encoder(hook)
            if n == 0:
                starts = starts_of(features, encoder.sae.config.d_sae)
                sums.update(hook, squared_error(encoder.sae, hook, *found), starts, tokens, values)
            entries = (part.cpu().numpy() for part in (features, places[tokens], values))
            pieces.append(Piece.of(start * width, rows.shape[0] * width, encoder.sae.config.d_sae, *entries))
        return len(hook), pieces

    @torch.no_grad()
    def _hook(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Activations of the counted tokens, and each one's place among the rows' tokens. [n, d_in], [n]"""
        ids = self.subject.tokens(rows.astype(np.int64))
        few = max(1, FORWARD_TOKENS // ids.shape[1])
        parts = [self.subject.activations(part)[:, self.first :].flatten(0, 1) for part in ids.split(few)]
        hook = torch.cat(parts).float()
        places = np.flatnonzero(~np.isin(rows[:, self.first :], self.special))  # known here: a GPU is not waited for
        places = torch.from_numpy(places).to(hook.device)
        return (hook if len(places) == len(hook) else hook[places]), places
