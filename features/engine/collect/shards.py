"""How is a pass over the corpus cut into parts that any process can do, and put together again?

`plan_shards` says which rows belong to which shard. `collect_shard` writes one shard's entries and sums into a folder
of its own, all of it or nothing; `merge` adds up what is needed of all of them; `open_collected` reads features off
both. Shards are whole numbers of chunks counted from the first row, and a chunk is computed alone: how many shards
there are, in which order they come and where they were made changes no entry, and sums only in their last bits.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..activity.correlations import Correlations, EncoderB, Moments
from ..activity.health import health_and_encoders
from ..activity.top_examples import TokenLayout
from ..corpus.token_rows import counted_tokens, refuse_longer, rows_needed
from ..files import whole_folder
from ..results import LOSS_ROWS, Encoders, Health, Progress
from ..sae.sae import SparseAutoencoder
from ..store.active_entries import CHUNK_TOKENS, ActiveEntries
from ..store.pair_products import FrequencySplit, PairProducts, products_with_frequent
from ..store.rare_pairs import RareEntriesByToken
from ..store.sums import CorpusSums
from ..subject import Subject
from ..weights import summary
from .collected import Collected, ThrottledProgress
from .shard_pass import ENCODERS, ShardPass

FEW_CHUNKS, CORES = 16, 4  # up to so many chunks are made a multiple of so many
SHARD_TOKENS = 65_536  # where there are few: at GELU-1L's shape 20 s of two cores, and 25 s of loss effects
MOST_SHARDS = 64  # about: on disk a shard's sums are as large as the encoder twice over, whatever its length
A, B = ENCODERS


@dataclass(frozen=True)
class ShardPlan:
    """Which rows are read, and by which shard."""

    bos: bool  # rows start with a BOS that is not counted
    tokens: int  # counted tokens of the rows that are read
    spans: tuple[tuple[int, int], ...]  # (first row, end) of each shard
    rows_per_chunk: int
    loss_rows: int = LOSS_ROWS  # that losses are measured on, at most
    skipped: int = 0  # positions after it that are not counted either

    @property
    def first(self) -> int:
        """The first position of a row that is counted."""
        return int(self.bos) + self.skipped

    @property
    def used_rows(self) -> int:
        return self.spans[-1][1]


def plan_shards(
    rows: np.ndarray,
    *,
    tokens: int,
    bos: bool,
    special: set[int],
    skipped: int = 0,
    shard_tokens: int | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
    loss_rows: int = LOSS_ROWS,
) -> ShardPlan:
    """Of the first rows [n, length] that hold `tokens` counted tokens, but for `skipped` positions after BOS.
    Raises NotEnoughTokens, and CorpusError for rows that are too long.

    The same on every machine: parts of one job are found by their number.
    """
    refuse_longer(rows.shape[1])
    # Whole rows: the last one may bring more counted tokens than were asked for.
    counted = counted_tokens(rows[:, int(bos) + skipped :], special)
    used = rows_needed(counted, tokens)
    chunk = _rows_per_chunk(used, max(1, chunk_tokens // rows.shape[1]))
    shard_tokens = shard_tokens or max(SHARD_TOKENS, used * rows.shape[1] // MOST_SHARDS)
    # A whole number of chunks, as near to the asked-for size as that comes.
    shard = chunk * max(1, round(shard_tokens / (chunk * rows.shape[1])))
    count = max(1, round(used / shard))  # the last one takes what would be a small one of its own
    starts = [shard * n for n in range(count)]
    spans = tuple(zip(starts, [*starts[1:], used], strict=True))
    return ShardPlan(bos, int(counted[:used].sum()), spans, chunk, loss_rows, skipped)


def _rows_per_chunk(used: int, most: int) -> int:
    """As many as a chunk takes; of a small corpus fewer, so that each of several cores has as much to do."""
    # -(-a // b) is a / b, rounded up.
    count = -(-used // most)
    # Rounded up to a multiple of CORES chunks, each of equally many rows.
    return most if count > FEW_CHUNKS else -(-used // (CORES * -(-count // CORES)))


def shard_folder(folder: Path, number: int) -> Path:
    return Path(folder) / f"shard-{number:04d}"


def collect_shard(
    shard_pass: ShardPass,
    rows: np.ndarray,
    plan: ShardPlan,
    number: int,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Do one shard, unless it is there. `shard_pass` is good for any number of them; `progress` hears of the shard's
    counted tokens, and may raise to stop."""
    final, span = shard_folder(folder, number), plan.spans[number]
    if final.exists():
        return
    total = int(counted_tokens(rows[slice(*span), plan.first :], shard_pass.subject.vocabulary.special).sum())
    throttled, done = ThrottledProgress(progress), 0

    def add(tokens):
        nonlocal done
        done += tokens
        throttled("activations", done, total, always=done == total)

    with whole_folder(final) as unfinished:
        shard_pass.run(rows, span, plan.rows_per_chunk, unfinished, add)
        # Of the rows that losses are measured on, those that lie in this shard.
        chosen = summary.loss_rows(plan.used_rows, plan.loss_rows)
        measured = rows[chosen[(chosen >= span[0]) & (chosen < span[1])]]
        np.save(unfinished / "losses.npy", summary.losses_by_row(shard_pass.subject, shard_pass.encoders[0], measured))
        (unfinished / "screen.txt").write_text(shard_pass.screen)


def merge(
    subject: Subject,
    rows: np.ndarray,
    plan: ShardPlan,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
    with_health: bool = True,
) -> None:
    """Add up all shards and the products between features, and look at the dictionary's health, unless that is done."""
    final = Path(folder) / "merged"
    if final.exists():
        return
    throttled = ThrottledProgress(progress)
    folders = [shard_folder(folder, n) for n in range(len(plan.spans))]
    with whole_folder(final) as unfinished:
        throttled("merging", 0, plan.tokens, always=True)
        CorpusSums.merge(folders, unfinished)
        splits = {name: FrequencySplit.of(_entries(folders, name)) for name in ENCODERS if (folders[0] / name).exists()}
        for name, split in splits.items():
            _save_split(unfinished / name, split)
        # With a second SAE also across, both ways: each is read by the frequent features of the other.
        for left, right in [(A, A)] + [(A, B), (B, A)] * (B in splits):
            report = partial(_report_merging, throttled, plan)
            products = products_with_frequent(splits[left], splits[right], subject.device, report)
            np.save(_products_file(unfinished, left, right), products)
        if with_health:
            found, encoders = health_and_encoders(subject, splits[A].entries, _layout(rows, plan))
            (unfinished / "health.json").write_text(json.dumps(asdict(found)))
            arrays = {name: array for name, array in vars(encoders).items() if array is not None}
            np.savez(unfinished / "encoders.npz", **arrays)
        # [rows, 4], three sums of losses and the number of their tokens: shards lie in the order of their rows.
        np.save(unfinished / "losses.npy", np.concatenate([np.load(each / "losses.npy") for each in folders]))
        screens = sorted({(each / "screen.txt").read_text() for each in folders})
        (unfinished / "screen.txt").write_text(", ".join(screens))


def _report_merging(throttled: ThrottledProgress, plan: ShardPlan, done: int) -> None:
    throttled("merging", min(done, plan.tokens), plan.tokens)


def open_collected(
    subject: Subject,
    rows: np.ndarray,
    plan: ShardPlan,
    folder: Path,
    *,
    seed: int = 0,
    features: Iterable[int] | None = None,
    encoder_b: SparseAutoencoder | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Collected:
    """What was merged, to read features from: all, or only `features`."""
    merged = Path(folder) / "merged"
    folders = [shard_folder(folder, n) for n in range(len(plan.spans))]
    sums = CorpusSums.load(merged)
    splits = {name: _load_split(merged / name, folders, name) for name in ENCODERS if (merged / name).exists()}
    moments = {name: Moments.load(merged / name) for name in splits}
    # Merged shards of B are read only if its decoder is at hand too.
    second = None
    if B in splits and encoder_b is not None:
        second = EncoderB(_pairs(merged, splits, A, B), moments[B], encoder_b.W_dec)
    correlations = Correlations(sums, moments[A], _pairs(merged, splits, A, A), subject.sae.W_dec, second)
    losses = np.load(merged / "losses.npy")
    entries = splits[A].entries
    found = merged / "health.json"
    found = Health(**json.loads(found.read_text())) if found.exists() else None
    figures = replace(summary.sae_summary(plan, sums, entries.counts, losses, seed), health=found)
    figures = replace(figures, encoders=_encoders(merged / "encoders.npz"))
    figures.versions["screen"] = (merged / "screen.txt").read_text()
    layout = _layout(rows, plan)
    return Collected(subject, layout, entries, correlations, figures, seed, features, ThrottledProgress(progress))


def _encoders(file: Path) -> Encoders | None:
    if not file.exists():
        return None
    with np.load(file) as arrays:
        return Encoders(**{part.name: arrays.get(part.name) for part in fields(Encoders)})


def _layout(rows: np.ndarray, plan: ShardPlan) -> TokenLayout:
    return TokenLayout(np.asarray(rows[: plan.used_rows]), plan.first)  # a plain array is indexed much faster


def _entries(folders: list[Path], name: str) -> ActiveEntries:
    return ActiveEntries([folder / name for folder in folders])


def _save_split(folder: Path, split: FrequencySplit) -> None:
    folder.mkdir()
    np.save(folder / "frequent.npy", split.frequent)
    Moments.of(split.entries).save(folder)
    RareEntriesByToken.write(folder, split.rare_by_token())


def _load_split(folder: Path, shards: list[Path], name: str) -> FrequencySplit:
    return FrequencySplit(_entries(shards, name), np.load(folder / "frequent.npy"))


def _products_file(merged: Path, left: str, right: str) -> Path:
    return merged / f"{left}-{right}.npy"


def _pairs(merged: Path, splits: dict[str, FrequencySplit], left: str, right: str) -> PairProducts:
    onto_right = np.load(_products_file(merged, left, right))  # [d_left, k_right]
    onto_left = onto_right if left == right else np.load(_products_file(merged, right, left))  # [d_right, k_left]
    rare = RareEntriesByToken(merged / right, len(splits[right].rare))
    return PairProducts(splits[left], splits[right], onto_right, onto_left, rare)
