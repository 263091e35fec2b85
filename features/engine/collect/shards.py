"""How is a pass over the corpus cut into parts that any process can do, and put together again?

`plan` says which rows belong to which shard. `collect_shard` writes one shard's entries and sums into a folder of its
own, all of it or nothing; `merge` adds up what is needed of all of them; `open_collected` reads features off both.
Shards are whole numbers of pieces counted from the first row, and a piece is computed alone: how many shards there
are, in which order they come and where they were made changes no entry, and sums only in their last bits.
"""

import shutil
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..activity.correlations import Correlations, Moments, Second
from ..activity.top_examples import Grid
from ..corpus.token_rows import counted_tokens, rows_needed
from ..results import Progress
from ..sae.sae import SparseAutoencoder
from ..store.active_entries import PIECE_TOKENS, Entries
from ..store.pair_products import PairProducts, Side, with_frequent
from ..store.rare_pairs import RareByToken
from ..store.sums import Sums
from ..subject import Subject
from ..weights import summary
from .collected import Collected, Report
from .shard_pass import SIDES, Pass

SMALL, CORES = 16, 4  # up to so many pieces are made a multiple of so many
SHARD_TOKENS = 131_072  # where there are few
MOST_SHARDS = 64  # about: on disk a shard's sums are as large as the encoder twice over, whatever its length


@dataclass(frozen=True)
class Plan:
    """Which rows are read, and by which shard."""

    bos: bool  # rows start with a BOS that is not counted
    tokens: int  # counted tokens of the rows that are read
    spans: tuple[tuple[int, int], ...]  # (first row, end) of each shard
    rows_a_piece: int

    @property
    def used_rows(self) -> int:
        return self.spans[-1][1]


def plan(
    rows: np.ndarray,
    *,
    tokens: int,
    bos: bool,
    special: set[int],
    shard_tokens: int | None = None,
    piece_tokens: int = PIECE_TOKENS,
) -> Plan:
    """Of the first rows [n, length] that hold `tokens` counted tokens. Raises NotEnoughTokens.

    The same on every machine: parts of one job are found by their number.
    """
    counted = counted_tokens(rows, special)
    used = rows_needed(counted, tokens)
    piece = _rows_a_piece(used, max(1, piece_tokens // rows.shape[1]))
    shard_tokens = shard_tokens or max(SHARD_TOKENS, used * rows.shape[1] // MOST_SHARDS)
    shard = piece * max(1, round(shard_tokens / (piece * rows.shape[1])))
    count = max(1, round(used / shard))  # the last one takes what would be a small one of its own
    starts = [shard * n for n in range(count)]
    return Plan(bos, int(counted[:used].sum()), tuple(zip(starts, [*starts[1:], used], strict=True)), piece)


def _rows_a_piece(used: int, most: int) -> int:
    """As many as a piece takes; of a small corpus fewer, so that each of several cores has as much to do."""
    count = -(-used // most)
    return most if count > SMALL else -(-used // (CORES * -(-count // CORES)))


def shard_folder(folder: Path, number: int) -> Path:
    return Path(folder) / f"shard-{number:04d}"


def collect_shard(
    passing: Pass,
    rows: np.ndarray,
    plan: Plan,
    number: int,
    folder: Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Do one shard, unless it is there. `passing` is good for any number of them; `progress` hears of the shard's
    counted tokens, and may raise to stop."""
    final, span = shard_folder(folder, number), plan.spans[number]
    if final.exists():
        return
    total = int(counted_tokens(rows[slice(*span)], passing.subject.vocabulary.special).sum())
    report, seen = Report(progress), 0

    def done(tokens):
        nonlocal seen
        seen += tokens
        report("activations", seen, total, always=seen == total)

    with whole_or_nothing(final) as unfinished:
        passing.over(rows, span, plan.rows_a_piece, unfinished, done)
        chosen = summary.loss_rows(plan.used_rows)
        own = rows[chosen[(chosen >= span[0]) & (chosen < span[1])]]
        np.save(unfinished / "losses.npy", summary.losses(passing.subject, passing.encoders[0], own))


@contextmanager
def whole_or_nothing(final: Path):
    """A folder to write into that gets its name when everything is in it."""
    unfinished = final.with_name(f"{final.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.rename(final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def merge(
    subject: Subject, rows: np.ndarray, plan: Plan, folder: Path, *, progress: Callable[[Progress], None] | None = None
) -> None:
    """Add up all shards and the products between features, unless that is done."""
    final = Path(folder) / "merged"
    if final.exists():
        return
    report = Report(progress)
    folders = [shard_folder(folder, n) for n in range(len(plan.spans))]
    with whole_or_nothing(final) as unfinished:
        report("merging", 0, plan.tokens, always=True)
        Sums.merge(folders, unfinished)
        sides = {name: Side.of(_entries(folders, name)) for name in SIDES if (folders[0] / name).exists()}
        for name, side in sides.items():
            _save_side(unfinished / name, side)
        for left, right in [("a", "a")] + [("a", "b"), ("b", "a")] * ("b" in sides):
            products = with_frequent(sides[left], sides[right], subject.device, partial(_merging, report, plan))
            np.save(unfinished / f"{left}{right}.npy", products)
        np.save(unfinished / "losses.npy", sum(np.load(each / "losses.npy") for each in folders))


def _merging(report: Report, plan: Plan, done: int) -> None:
    report("merging", min(done, plan.tokens), plan.tokens)


def open_collected(
    subject: Subject,
    rows: np.ndarray,
    plan: Plan,
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
    sums = Sums.load(merged)
    sides = {name: _load_side(merged / name, folders, name) for name in SIDES if (merged / name).exists()}
    moments = {name: Moments.load(merged / name) for name in sides}
    second = None
    if "b" in sides and encoder_b is not None:
        second = Second(_pairs(merged, sides, "a", "b"), moments["b"], encoder_b.W_dec)
    correlations = Correlations(sums, moments["a"], _pairs(merged, sides, "a", "a"), subject.sae.W_dec, second)
    losses = np.load(merged / "losses.npy")
    figures = summary.summary(plan, sums, sides["a"].entries.counts, losses, seed)
    grid = Grid(np.asarray(rows[: plan.used_rows]), int(plan.bos))  # a plain array is indexed much faster
    entries = sides["a"].entries
    return Collected(subject, grid, entries, correlations, figures, seed, features, Report(progress))


def _entries(folders: list[Path], name: str) -> Entries:
    return Entries([folder / name for folder in folders])


def _save_side(folder: Path, side: Side) -> None:
    folder.mkdir()
    np.save(folder / "frequent.npy", side.frequent)
    Moments.of(side.entries).save(folder)
    RareByToken.write(folder, side.by_token())


def _load_side(folder: Path, shards: list[Path], name: str) -> Side:
    return Side(_entries(shards, name), np.load(folder / "frequent.npy"))


def _pairs(merged: Path, sides: dict[str, Side], left: str, right: str) -> PairProducts:
    onto = np.load(merged / f"{left}{right}.npy")
    back = onto if left == right else np.load(merged / f"{right}{left}.npy")
    return PairProducts(sides[left], sides[right], onto, back, RareByToken(merged / right, len(sides[right].rare)))
