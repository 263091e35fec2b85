"""What a GPU's kernels find is what plain tensors find. Without a GPU, Triton's interpreter runs them here."""

import os

import numpy as np
import pytest
import torch

os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")
pytest.importorskip("triton", reason="needs Triton, which comes with PyTorch's builds for CUDA")

from features.engine.collect.gpu_pipeline import AHEAD, Pipeline
from features.engine.collect.shard_pass import ShardPass
from features.engine.encoder.encoder import Encoder
from features.engine.encoder.gpu_finder import GpuEntryFinder
from features.engine.encoder.reconstruction import squared_error
from features.engine.sae.sae import SAEConfig, SparseAutoencoder
from features.engine.store.active_entries import ActiveEntries
from features.engine.store.sums import StreamingSums
from features.engine.subject import Subject

from .. import small

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOKENS, WIDTH, FEATURES = 24, 72, 15


def made(kind: str) -> tuple[SparseAutoencoder, torch.Tensor]:
    """An SAE of a kind, and activations on which some features are active, one never and one always."""
    g = torch.Generator().manual_seed(0)
    h, W = (torch.randn(*shape, generator=g) for shape in ((TOKENS, WIDTH), (WIDTH, FEATURES)))
    b = torch.full((FEATURES,), -12.0)
    b[3], b[5] = -1e6, 1e3
    options = {"jumprelu": {"activation": "jumprelu"}, "topk": {"activation": "topk", "k": 5}}.get(kind, {})
    if kind == "signed":
        options = {"activation": "signed_topk", "k": FEATURES // 2}
    if kind == "normed":
        options = {"input_norm": "layer_norm"}
    config = SAEConfig(d_in=WIDTH, d_sae=FEATURES, **options)
    threshold = torch.linspace(0, 8, FEATURES) if kind == "jumprelu" else None
    if threshold is not None:  # barely above one activation, which no screen can rule out
        threshold[5] = (h @ W[:, 5] + b[5]).sort().values[TOKENS // 2] + 5e-3
    sae = SparseAutoencoder(config, W, W.t() * 0.05, b, torch.randn(WIDTH, generator=g), threshold)
    return sae.to(DEVICE), h.to(DEVICE)


PLAIN = ("relu", "jumprelu")
KINDS = [*((kind, "bfloat16") for kind in PLAIN), *((kind, "off") for kind in (*PLAIN, "topk", "signed", "normed"))]


def found_by_kernels(kind, screen, monkeypatch, block_bytes=1 << 20):
    for name, size in {"BLOCK_BYTES": block_bytes, "BLOCK": 16, "KEPT_BLOCK": 8}.items():  # every loop goes round
        monkeypatch.setattr(f"features.engine.encoder.gpu_finder.{name}", size)
    sae, h = made(kind)
    encoder = Encoder(sae, screen)
    encoder.calibrate(h)
    finder, fh = GpuEntryFinder(encoder), torch.ones(FEATURES, WIDTH, dtype=torch.float64, device=DEVICE)
    return sae, h, finder, finder(h, fh), fh


@pytest.mark.parametrize("kind, screen", KINDS)
@pytest.mark.parametrize("block_bytes", [1 << 20, 4 * TOKENS * 7])  # all features at once, some
def test_entries_and_sums_are_those_of_tensors(kind, screen, block_bytes, monkeypatch):
    sae, h, finder, found, fh = found_by_kernels(kind, screen, monkeypatch, block_bytes)
    dense = sae.encode(h)
    features, tokens = dense.t().nonzero(as_tuple=True)
    count = int(found.offsets[-1])
    assert count == len(features) and bool(found.fits)
    assert torch.equal(found.features[:count].long(), features)
    assert torch.equal(found.tokens[:count].long(), tokens)
    torch.testing.assert_close(found.values[:count], dense[tokens, features], rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(fh - 1, dense.t().double() @ h.double(), rtol=1e-5, atol=1e-3)
    by_tensors = squared_error(sae, h, features, tokens, dense[tokens, features])
    torch.testing.assert_close(finder.squared_error(h, found), by_tensors, rtol=1e-5, atol=0)


def test_in_a_buffer_too_small_nothing_is_found_and_nothing_added(monkeypatch):
    monkeypatch.setattr("features.engine.encoder.gpu_finder.LEAST_CAPACITY", 16)
    sae, h, finder, found, fh = found_by_kernels("relu", "bfloat16", monkeypatch)
    assert not found.fits and int(found.needed) > 16
    assert int(found.offsets[-1]) == 0 and bool((fh == 1).all())
    assert float(finder.squared_error(h, found)) == 0
    finder.reserve(int(found.needed))
    assert int(finder(h).offsets[-1]) == int((sae.encode(h) > 0).sum())


def chunks_of(subject, rows, *, capacity, monkeypatch):
    """Chunks of the rows by kernels, and the sums."""
    monkeypatch.setattr("features.engine.encoder.gpu_finder.LEAST_CAPACITY", capacity)
    shard_pass, config = ShardPass(subject, True, screen="bfloat16"), subject.sae.config
    shard_pass.encoders[0].calibrate(shard_pass.hook(rows[:4])[0])
    sums = StreamingSums(config.d_sae, config.d_in, subject.device)
    pipeline = Pipeline(
        [GpuEntryFinder(encoder) for encoder in shard_pass.encoders], shard_pass.hook, sums, shard_pass.first
    )
    return list(pipeline.run((rows[at : at + STEP], at) for at in range(0, len(rows), STEP))), sums, shard_pass


@pytest.fixture(scope="module")
def on_device(small_folder):
    return Subject.load(small_folder / "model", small_folder / "sae", small.HOOK, device=DEVICE.type)


STEP = 2  # rows of a chunk; an interpreter takes its time for each token


@pytest.mark.parametrize("capacity", [8, 1 << 16])
def test_a_shard_by_kernels_is_that_of_tensors(on_device, rows, capacity, monkeypatch):
    by_kernels, sums, shard_pass = chunks_of(on_device, rows := rows[:3], capacity=capacity, monkeypatch=monkeypatch)
    plain = StreamingSums(*on_device.sae.W_dec.shape, on_device.device)
    for n, (tokens, (chunk,)) in enumerate(by_kernels):
        own_sums, (own,) = shard_pass._chunk(rows[STEP * n : STEP * n + STEP], STEP * n, plain)
        plain.add(own_sums)
        assert (tokens, chunk.first, chunk.size) == (own_sums[0], own.first, own.size)
        np.testing.assert_array_equal(chunk.offsets, own.offsets)
        np.testing.assert_array_equal(chunk.tokens, own.tokens)
        np.testing.assert_allclose(chunk.values, own.values, rtol=1e-5, atol=1e-5)
    assert int(sums.tokens) == int(plain.tokens)
    torch.testing.assert_close(sums.h, plain.h)
    torch.testing.assert_close(sums.fh.whole, plain.fh.whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.error, plain.error, rtol=1e-5, atol=0)


def test_a_chunk_is_waited_for_when_later_ones_are_submitted(on_device, rows, monkeypatch):
    events = []
    pipeline = Pipeline([], None, None, 1)
    monkeypatch.setattr(pipeline, "_submit", lambda rows, start: events.append(("out", start)) or start)
    monkeypatch.setattr(pipeline, "_collect", lambda start: events.append(("back", start)))
    list(pipeline.run((rows, start) for start in range(5)))
    assert [start for what, start in events if what == "back"] == list(range(5))
    for start in range(5 - AHEAD):
        assert events.index(("back", start)) > events.index(("out", start + AHEAD))


def test_a_chunk_without_a_counted_token_has_no_entries(on_device, rows, monkeypatch):
    padded = np.concatenate([rows[:STEP], np.full_like(rows[:STEP], 2)])
    (tokens, _), (none, (chunk,)) = chunks_of(on_device, padded, capacity=8, monkeypatch=monkeypatch)[0]
    assert tokens > 0 and none == 0
    assert len(chunk.tokens) == 0 and chunk.size == STEP * (rows.shape[1] - 1)


def test_a_shard_without_a_counted_token_says_nothing_of_the_next(on_device, rows, tmp_path):
    """What is set up for kernels waits for the first tokens: which screen there is depends on them."""
    shard_pass, plain = ShardPass(on_device, True, screen="bfloat16"), ShardPass(on_device, True, screen="off")
    shard_pass.use_triton, plain.use_triton = True, False
    padded = np.concatenate([np.full_like(rows[:STEP], 2), rows[:STEP]])
    for name, one in (("kernels", shard_pass), ("tensors", plain)):
        for n, span in enumerate([(0, STEP), (STEP, 2 * STEP)]):
            one.run(padded, span, STEP, tmp_path / name / str(n), lambda tokens: None)
    assert shard_pass._finders and not plain._finders
    by_kernels, by_tensors = (ActiveEntries([tmp_path / name / "1/encoder_a"]) for name in ("kernels", "tensors"))
    np.testing.assert_array_equal(by_kernels.counts, by_tensors.counts)
    assert by_kernels.counts.sum() > 0
    for one, other in zip(by_kernels.features(), by_tensors.features(), strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-5)
