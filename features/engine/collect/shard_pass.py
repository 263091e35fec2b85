"""One shard's pass over its rows: activations, active entries, sums, for all features at once."""

import logging
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..encoder.encoder import Encoder
from ..encoder.reconstruction import squared_error
from ..kernels.parallel import side_by_side
from ..kernels.sparse import starts_of
from ..kernels.transfers import upload
from ..sae.sae import SparseAutoencoder
from ..store.active_entries import EntriesWriter, Piece
from ..store.sums import StreamingSums
from ..subject import Subject

log = logging.getLogger(__name__)

FORWARD_TOKENS, GPU_FORWARD_TOKENS = 2048, 8192  # through the model at a time: activations stay in a CPU's cache
SIDES = ("a", "b")  # folders of the entries of the SAE, and of a second one on the same hook point


class Pass:
    """What every piece of a corpus goes through."""

    def __init__(self, subject: Subject, bos: bool, encoder_b: SparseAutoencoder | None = None, screen: str = "auto"):
        """Rows start with a BOS that is not counted if `bos`; `encoder_b` is a second SAE on the same hook point;
        `screen` as in `Encoder`."""
        self.subject, self.first = subject, int(bos)
        self.encoders = [Encoder(sae, screen) for sae in (subject.sae, encoder_b) if sae is not None]
        self.special = sorted(subject.vocabulary.special)
        self.on_gpu = has_kernels(subject.device)
        self._active: list[float] = []  # features per token, by each encoder, once they are settled
        self._finders: list = []

    def over(self, rows: np.ndarray, span: tuple[int, int], rows_a_piece: int, folder: Path, done) -> None:
        """Writes entries and sums of rows span[0] to span[1] into the folder; `done(tokens)` after each piece."""
        sae = self.subject.sae
        sums = StreamingSums(sae.config.d_sae, sae.config.d_in, self.subject.device)
        self._settle(rows, span, rows_a_piece)
        parts = ((rows[at : min(at + rows_a_piece, span[1])], at) for at in range(*span, rows_a_piece))
        with ExitStack() as stack:
            writers = [stack.enter_context(EntriesWriter(folder / name)) for name in SIDES[: len(self.encoders)]]
            for tokens, pieces in self._pieces(parts, sums, rows_a_piece * rows.shape[1], stack):
                for writer, piece in zip(writers, pieces, strict=True):
                    writer.append(piece)
                done(tokens)
        sums.save(folder)

    def _pieces(self, parts, sums: StreamingSums, tokens: int, stack: ExitStack):
        """(counted tokens, entries by each encoder) of parts (rows, number of the first), in order."""
        pipeline = self._pipeline(sums, tokens)
        if pipeline:
            return pipeline.over(parts)
        run = stack.enter_context(side_by_side(self.subject.device))
        return run(partial(self._piece, *part, sums) for part in parts)

    def _pipeline(self, sums: StreamingSums, tokens: int):
        """What does it on a GPU, if it can do pieces of so many tokens, and once the encoders are settled."""
        if not self.on_gpu or not self._active:
            return None
        from ..encoder.gpu_finder import Finder, can_find
        from .gpu_pipeline import Pipeline

        if not all(can_find(encoder, tokens) for encoder in self.encoders):
            return None
        if not self._finders:
            self._finders = [Finder(encoder) for encoder in self.encoders]
            for finder, share in zip(self._finders, self._active, strict=True):
                finder.make_room(int(share * tokens))
        return Pipeline(self._finders, self.hook, sums, self.first)

    def _settle(self, rows, span, rows_a_piece) -> None:
        if self._active:
            return
        own = rows[slice(*span)]
        own = own[~np.isin(own[:, self.first :], self.special).all(1)]  # some count
        few = self.hook(own[: max(1, rows_a_piece // 4)])[0] if len(own) else torch.zeros(0)
        if not len(few):
            return
        for encoder in self.encoders:
            encoder.settle(few)
        self._active = [len(encoder(few)[0]) / len(few) for encoder in self.encoders] if self.on_gpu else [0]

    @torch.no_grad()
    def _piece(self, rows: np.ndarray, start: int, sums: StreamingSums) -> tuple[int, list[Piece]]:
        """Counted tokens of the piece, and its entries by each encoder."""
        hook, places = self.hook(rows)
        width = rows.shape[1] - self.first
        if not len(hook):
            return 0, [Piece.empty(start * width, len(rows) * width, one.sae.config.d_sae) for one in self.encoders]
        pieces = []
        for n, encoder in enumerate(self.encoders):
            features, tokens, values = found = encoder(hook)
            if n == 0:
                starts = starts_of(features, encoder.sae.config.d_sae)
                sums.update(hook, squared_error(encoder.sae, hook, *found))
                sums.fh.add(hook, starts, tokens, values)
            entries = (part.cpu().numpy() for part in (features, places[tokens], values))
            pieces.append(Piece.of(start * width, rows.shape[0] * width, encoder.sae.config.d_sae, *entries))
        return len(hook), pieces

    @torch.no_grad()
    def hook(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Activations of the counted tokens, and each one's place among the rows' tokens. [n, d_in], [n]"""
        ids = self.subject.tokens(rows.astype(np.int64))
        few = max(1, (GPU_FORWARD_TOKENS if ids.is_cuda else FORWARD_TOKENS) // ids.shape[1])
        parts = [self.subject.activations(part)[:, self.first :].flatten(0, 1) for part in ids.split(few)]
        hook = torch.cat(parts).float()
        places = np.flatnonzero(~np.isin(rows[:, self.first :], self.special))  # known here: a GPU is not waited for
        on_device = upload(places, hook.device)
        return (hook if len(places) == len(hook) else hook[on_device]), on_device


@lru_cache
def has_kernels(device: torch.device) -> bool:
    """Whether this is a GPU that Triton's kernels run on. It comes with PyTorch's builds for CUDA on Linux, but needs
    a C compiler when it is first used."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    from ..encoder.gpu_finder import trial

    try:
        trial(device)
    except Exception as error:  # whatever a compiler or a driver does: tensors do the same, more slowly
        log.warning("Triton's kernels do not run on %s, so plain tensors are used: %s", device, error)
        return False
    return True
