"""One shard's pass over its rows: activations, active entries, sums, for all features at once."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..corpus.token_rows import counted_mask
from ..encoder.encoder import Encoder, gpu_finders, runs_triton
from ..encoder.reconstruction import squared_error
from ..kernels.parallel import parallel_map
from ..kernels.sparse import csr_offsets
from ..kernels.transfers import to_device
from ..sae.sae import SparseAutoencoder
from ..store.active_entries import ActiveEntriesWriter, Chunk
from ..store.sums import ChunkSums, CorpusSums, StreamingSums
from ..subject import Subject

FORWARD_TOKENS, GPU_FORWARD_TOKENS = 2048, 8192  # through the model at a time: activations stay in a CPU's cache
ENCODERS = ("encoder_a", "encoder_b")  # folders of the entries of the SAE, and of a second one on the same hook point


class ShardPass:
    """What every chunk of a corpus goes through. Good for any number of shards."""

    def __init__(
        self,
        subject: Subject,
        first: int,
        encoder_b: SparseAutoencoder | None = None,
        screen: str = "auto",
        with_products: bool = True,
    ):
        """`first` positions at the beginning of each row are not counted: a BOS, and what is skipped; `encoder_b` is a
        second SAE on the same hook point; `screen` as in `Encoder`; `with_products`: sums for correlated neurons are
        taken, too."""
        self.subject, self.first, self.with_products = subject, int(first), with_products
        self.encoders = [Encoder(sae, screen) for sae in (subject.sae, encoder_b) if sae is not None]
        self.special = subject.vocabulary.special
        self.use_triton = runs_triton(subject.device)
        self._active: list[float] = []  # features per token, by each encoder, once they are calibrated
        self._finders: list = []

    @property
    def screen(self) -> str:
        """What ruled entries out; "none" where the whole product was taken: values agree but for rounding."""
        return self.encoders[0].screen_name or "none"

    def run(self, rows: np.ndarray, span: tuple[int, int], rows_per_chunk: int, folder: Path, progress) -> None:
        """Writes entries and sums of rows span[0] to span[1] into the folder; `progress(tokens)` after each chunk."""
        sae = self.subject.sae
        sums = StreamingSums(sae.config.d_sae, sae.config.d_in, self.subject.device, self.with_products)
        self._calibrate(rows, span, rows_per_chunk)
        parts = (
            (rows[start : min(start + rows_per_chunk, span[1])], start) for start in range(*span, rows_per_chunk)
        )  # fmt: skip
        with ExitStack() as stack:
            folders = [folder / name for name in ENCODERS[: len(self.encoders)]]
            writers = [stack.enter_context(ActiveEntriesWriter(each)) for each in folders]
            for tokens, chunks in self._chunks(parts, sums, rows_per_chunk * rows.shape[1], stack):
                for writer, chunk in zip(writers, chunks, strict=True):
                    writer.append(chunk)
                progress(tokens)
        sums.save(folder)

    def read_chunks(self, rows: np.ndarray, starts: list[int], size: int, folder: Path, progress) -> dict[int, tuple]:
        """Writes entries of the chunks of so many rows that begin at `starts`, in any order, into the folder; what each
        adds to sums, by its start. On a CPU, with one encoder and without products; `progress(tokens)` after each."""
        self._calibrate(rows, (0, len(rows)), size)
        sums, found = StreamingSums(0, 0, self.subject.device, with_products=False), {}  # none are added up here
        with parallel_map(self.subject.device) as run, ActiveEntriesWriter(folder / ENCODERS[0]) as writer:
            tasks = (partial(self._chunk, rows[start : start + size], start, sums) for start in starts)
            for start, (chunk_sums, (chunk,)) in zip(starts, run(tasks), strict=True):
                writer.append(chunk)
                found[start] = chunk_sums
                progress(chunk_sums[0] if chunk_sums else 0)
        return found

    def summed(self, found: dict[int, tuple]) -> CorpusSums:
        """What chunks add up to, in the order of the corpus: the same to the last bit in whatever order they came."""
        config = self.subject.sae.config
        sums = StreamingSums(config.d_sae, config.d_in, self.subject.device, with_products=False)
        for _, chunk_sums in sorted(found.items()):
            if chunk_sums:
                sums.add(chunk_sums)
        return sums.summed()

    def _chunks(self, parts, sums: StreamingSums, tokens: int, stack: ExitStack):
        """(counted tokens, entries by each encoder) of parts (rows, number of the first), in order."""
        pipeline = self._pipeline(sums, tokens)
        if pipeline:
            return pipeline.run(parts)
        run = stack.enter_context(parallel_map(self.subject.device))
        return self._in_order(run(partial(self._chunk, *part, sums) for part in parts), sums)

    @staticmethod
    def _in_order(results, sums: StreamingSums):
        """What `_chunk` gave, chunk after chunk, once it is added up."""
        for chunk_sums, chunks in results:
            if chunk_sums:
                sums.add(chunk_sums)
            yield chunk_sums[0] if chunk_sums else 0, chunks

    def _pipeline(self, sums: StreamingSums, tokens: int):
        """What goes through chunks of so many tokens on a GPU, once the encoders are calibrated; None where tensors
        have to."""
        if not self.use_triton or not self._active:
            return None
        # Imported here: it needs Triton, which only a machine with a GPU has to have.
        from .gpu_pipeline import Pipeline

        finders = gpu_finders(self.encoders, tokens, self._finders)
        if not finders:
            return None
        if not self._finders:
            self._finders = finders
            for finder, active in zip(finders, self._active, strict=True):
                finder.reserve(int(active * tokens))
        return Pipeline(finders, self.hook, sums, self.first)

    def _calibrate(self, rows: np.ndarray, span: tuple[int, int], rows_per_chunk: int) -> None:
        """Calibrates the encoders on some rows of the shard, unless it is done or no token of it is counted."""
        if self._active:
            return
        shard = rows[slice(*span)]
        # Rows of padding alone say nothing of activations.
        shard = shard[counted_mask(shard[:, self.first :], self.special).any(1)]
        hook = self.hook(shard[: max(1, rows_per_chunk // 4)])[0] if len(shard) else torch.zeros(0)
        if not len(hook):
            return
        for encoder in self.encoders:
            encoder.calibrate(hook)
        # Only a GPU's buffers need to know how many entries to expect.
        self._active = [len(encoder(hook)[0]) / len(hook) for encoder in self.encoders] if self.use_triton else [0]

    @torch.no_grad()
    def _chunk(self, rows: np.ndarray, start: int, sums: StreamingSums) -> tuple[ChunkSums | None, list[Chunk]]:
        """Sums over the chunk, None where no token of it is counted, and its entries by each encoder."""
        hook, indices = self.hook(rows)
        # A chunk is numbered by where its rows lie in the corpus, the first positions of each left out.
        width = rows.shape[1] - self.first
        if not len(hook):
            return None, [
                Chunk.empty(start * width, len(rows) * width, each.sae.config.d_sae) for each in self.encoders
            ]
        chunks = []
        for n, encoder in enumerate(self.encoders):
            features, tokens, values = encoder(hook)
            if n == 0:
                # Sums are of the first SAE alone: a second one is only correlated with.
                offsets = csr_offsets(features, encoder.sae.config.d_sae)
                chunk_sums = sums.of_chunk(hook, squared_error(encoder.sae, hook, features, tokens, values))
                if sums.fh:
                    sums.fh.add(hook, offsets, tokens, values)
            # Tokens were numbered among the counted ones; on disk they are numbered among all of the chunk's.
            entries = (part.cpu().numpy() for part in (features, indices[tokens], values))
            chunks.append(Chunk.of(start * width, rows.shape[0] * width, encoder.sae.config.d_sae, *entries))
        return chunk_sums, chunks

    @torch.no_grad()
    def hook(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Activations of the counted tokens, and each one's index among the rows' tokens. [n, d_in], [n]"""
        ids = self.subject.tokens(rows.astype(np.int64))
        step = max(1, (GPU_FORWARD_TOKENS if ids.is_cuda else FORWARD_TOKENS) // ids.shape[1])  # rows at a time
        # BOS goes through the model, which attends to it, and its activations are dropped.
        parts = [self.subject.activations(part)[:, self.first :].flatten(0, 1) for part in ids.split(step)]
        hook = torch.cat(parts).float()  # [all tokens, d_in]
        # Known on the host: a GPU is not waited for.
        indices = np.flatnonzero(counted_mask(rows[:, self.first :], self.special))
        on_device = to_device(indices, hook.device)
        return (hook if len(indices) == len(hook) else hook[on_device]), on_device
