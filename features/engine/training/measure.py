"""What does a checkpoint's pass over the rows of its run say? Its health first, then 64 bytes of each feature."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from ..activity.health import health
from ..corpus.token_rows import counted_mask
from ..sae.sae import SparseAutoencoder
from ..variance import first_counted, variance_shares
from ..weights import summary
from ..weights.decoder_neighbours import DecoderRows
from ..weights.health import row_cosines
from .measure_bins import DENSITIES
from .rebuilt_rows import RebuiltRows
from .record import BOS_ONLY, COUNT, LEAST_ACTIVE, ONE_POSITION, ONE_TOKEN, ONLY, RECORD, TOPS
from .rows_pass import RowsReading

TWIN = 0.9  # decoder cosine above which two features are near-twins
DRAWS = 1000  # of rows, for the interval of L0
VARIANCE_ROWS = 16  # that explained variance without first positions and outliers is measured on
BINS, ALIKE = 50, 1e-3  # of histograms; ALIKE: values that all lie so near are shown as one bar
ROWS = 4096  # of decoders, compared at a time
AT_ONCE = 512  # features whose neighbours are looked for together


@dataclass(frozen=True)
class CheckpointFigures:
    """Figures of a checkpoint on the rows of its run, as they are stored (JSON). None where one does not exist.

    A figure added here needs a default: what was stored before lacks it.
    """

    tokens: int = 0
    rows: int = 0
    l0: float | None = None
    l0_margin: float | None = None  # half of its 95 % interval, a bootstrap over rows
    l0_quantiles: list = field(default_factory=list)  # at 5, 25, 50, 75, 95 and 100 % of tokens
    l0_histogram: dict = field(default_factory=dict)
    explained_variance: float | None = None
    explained_without: float | None = None  # first positions and outliers: see engine/variance.py
    variance_first: float | None = None
    variance_outliers: float | None = None
    loss_clean: float | None = None
    loss_reconstructed: float | None = None
    loss_zero_ablated: float | None = None
    loss_recovered: float | None = None
    loss_recovered_margin: float | None = None
    loss_cost_margin: float | None = None
    loss_rows: int = 0
    dead: int = 0
    dense: int = 0
    density_histogram: list = field(default_factory=list)  # features between neighbouring DENSITIES; dead ones in none
    decoder_norm: float | None = None  # medians
    encoder_norm: float | None = None
    decoder_norms: dict = field(default_factory=dict)
    encoder_norms: dict = field(default_factory=dict)
    encoder_decoder: dict = field(default_factory=dict)  # histogram of cosines
    bias_norm: float | None = None  # of b_dec
    health: dict = field(default_factory=dict)  # results.Health
    twins: int | None = None  # features with a decoder cosine above TWIN to another; from here on known last
    one_token: int | None = None
    one_position: int | None = None
    bos_only: int | None = None
    of_tokens: int | None = None  # counted on all rows, where these are figures of a share of them: a first look


def health_of(reading: RowsReading) -> CheckpointFigures:
    """Everything but what takes a look at each feature."""
    sae, counts = reading.subject.sae, reading.entries.counts
    whole = summary.sae_summary(reading.plan, reading.sums, counts, reading.losses, seed=0)
    by_token = _l0_by_token(reading)
    variance = _variance(reading)
    encoder, decoder = sae.W_enc.norm(dim=0).cpu().numpy(), sae.W_dec.norm(dim=1).cpu().numpy()
    figures = CheckpointFigures(
        tokens=whole.tokens,
        rows=whole.rows,
        l0=whole.l0,
        l0_margin=_margin_over_rows(reading, by_token),
        l0_quantiles=np.quantile(by_token, [0.05, 0.25, 0.5, 0.75, 0.95, 1]).tolist() if len(by_token) else [],
        l0_histogram=_histogram(by_token),
        explained_variance=whole.explained_variance,
        explained_without=variance.explained_without,
        variance_first=variance.first,
        variance_outliers=variance.outliers,
        loss_clean=whole.loss_clean,
        loss_reconstructed=whole.loss_reconstructed,
        loss_zero_ablated=whole.loss_zero_ablated,
        loss_recovered=whole.loss_recovered,
        loss_recovered_margin=whole.loss_recovered_margin,
        loss_cost_margin=whole.loss_cost_margin,
        loss_rows=whole.loss_rows,
        dead=whole.dead,
        dense=whole.dense,
        density_histogram=density_histogram(counts, whole.tokens),
        decoder_norm=float(np.median(decoder)),
        encoder_norm=float(np.median(encoder)),
        decoder_norms=_histogram(_as_stored(decoder)),
        encoder_norms=_histogram(_as_stored(encoder)),
        encoder_decoder=_histogram(_as_stored(reading.encoder_decoder), (-1, 1)),
        bias_norm=float(sae.b_dec.norm()),
        health=asdict(health(reading.subject, reading.entries, reading.layout, reading.strongest)),
    )
    return _without_nan(figures)


def density_histogram(counts: np.ndarray, tokens: int) -> list[int]:
    """Living features between neighbouring DENSITIES (log10); what is rarer counts to the first bin."""
    # Dead features have no logarithm and are in no bin.
    logs = np.log10(counts[counts > 0] / max(1, tokens))
    return np.histogram(logs.clip(DENSITIES[0], DENSITIES[-1]), DENSITIES)[0].tolist()


def records_of(
    reading: RowsReading, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Counts [d_sae] of COUNT and records [d_sae] of RECORD, nothing known yet of the checkpoint before."""
    sae, d_sae = reading.subject.sae, reading.subject.d_sae
    records = np.zeros(d_sae, RECORD)
    records["encoder_norm"] = sae.W_enc.norm(dim=0).cpu().numpy()
    records["decoder_norm"] = sae.W_dec.norm(dim=1).cpu().numpy()
    records["encoder_decoder"] = reading.encoder_decoder
    records["before"] = np.nan
    decoder = DecoderRows(sae.W_dec)
    # Neighbours come best first: the first cosine of each list is that of the nearest decoder row.
    for start in range(0, d_sae, AT_ONCE):
        part = np.arange(start, min(start + AT_ONCE, d_sae))
        nearest = [found.cosine[0] if len(found.cosine) else np.nan for found in decoder.neighbours(part)]
        records["nearest"][part] = nearest
        progress(len(part) + start, d_sae)
    _of_entries(reading, records)
    _tops(reading, records)
    # Active on BOS and on no counted token: dead in every figure, and yet not silent.
    records["flags"] |= np.where(_on_bos(reading) & (reading.entries.counts == 0), BOS_ONLY, 0).astype(np.uint16)
    return reading.entries.counts.astype(COUNT), records


def with_records(figures: CheckpointFigures, records: np.ndarray) -> CheckpointFigures:
    """The same, and what the records add up to."""

    def flagged(flag):
        return int((records["flags"] & flag != 0).sum())

    return CheckpointFigures(
        **asdict(figures)
        | {
            "twins": int((records["nearest"].astype(np.float32) > TWIN).sum()),
            "one_token": flagged(ONE_TOKEN),
            "one_position": flagged(ONE_POSITION),
            "bos_only": flagged(BOS_ONLY),
        }
    )


def _l0_by_token(reading: RowsReading) -> np.ndarray:
    """Active features of each counted token, in corpus order. [tokens]"""
    # A chunk numbers its positions from 0; chunk behind chunk they are the positions of all rows.
    counts = np.concatenate([np.bincount(chunk.tokens, minlength=chunk.size) for chunk in reading.entries.chunks()])
    return counts[_is_counted(reading).ravel()]


def _is_counted(reading: RowsReading) -> np.ndarray:
    """Of the positions behind BOS. [rows, width] bool"""
    return counted_mask(reading.rows[:, reading.plan.first :], reading.subject.vocabulary.special)


def _margin_over_rows(reading: RowsReading, by_token: np.ndarray) -> float:
    """Half of the 95 % interval of L0, rows drawn again and again."""
    counted = _is_counted(reading)
    rows, numbers = len(counted), counted.sum(1)  # [rows]
    if rows < 2:
        return float("nan")
    row = np.repeat(np.arange(rows), numbers)  # of each counted token
    sums = np.bincount(row, by_token, minlength=rows)
    # To draw rows with replacement is to draw how often each is taken: [DRAWS, rows], each row of sum `rows`.
    times = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), DRAWS)
    # L0 of a draw: active entries over counted tokens of the rows in it.  [DRAWS]
    low, high = np.quantile((times @ sums) / np.maximum(1, times @ numbers), [0.025, 0.975])
    return float(high - low) / 2


@torch.no_grad()
def _variance(reading: RowsReading):
    """On the first VARIANCE_ROWS rows."""
    subject, first = reading.subject, reading.plan.first
    rows = np.arange(min(VARIANCE_ROWS, len(reading.rows)))
    h = subject.activations(reading.rows[rows].astype(np.int64)).float()  # [n, length, d_in]
    encoder = reading.shard_pass.encoders[0]
    rebuilt = RebuiltRows(encoder, reading.entries, reading.layout, subject.vocabulary.special, rows)
    again = rebuilt(range(len(rows)), h)
    is_counted = _is_counted(reading)[rows]
    counted, is_first = (torch.from_numpy(each).to(h.device) for each in (is_counted, first_counted(is_counted)))
    return variance_shares(subject.sae, h[:, first:][counted], is_first[counted], again[:, first:][counted])


def _histogram(values: np.ndarray, span: tuple[float, float] | None = None) -> dict:
    """Bars as lists of their features are cut: from an edge on, below the next."""
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    low, high = span or (float(values.min()), float(values.max()))
    if high - low < ALIKE * max(1, abs(high)):  # as norms that a trainer sets to 1
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1).round(6)
    edges[-1] = np.round(edges[-1] + 2e-6, 6)  # above the highest, which counts
    edges[0] = np.round(edges[0] - 1e-6, 6)
    return {"edges": edges.tolist(), "counts": np.histogram(values, edges)[0].tolist()}


def _as_stored(values: np.ndarray) -> np.ndarray:
    """As records hold them: a bar has the features that its list has."""
    return values.astype(np.float16).astype(np.float64)


def decoder_cosines(sae: SparseAutoencoder, other: SparseAutoencoder) -> np.ndarray:
    """Of each feature's decoder row with that of the same index; NaN where one is all zeros. [d_sae]"""
    parts = torch.arange(sae.config.d_sae).split(ROWS)
    return row_cosines((sae.W_dec[part].cpu(), other.W_dec[part].cpu()) for part in parts)


def _of_entries(reading: RowsReading, records: np.ndarray) -> None:
    """What each feature's own entries say."""
    # Entries number positions row after row: token // width is the row, token % width the position behind BOS.
    ids = np.ascontiguousarray(reading.rows[:, reading.plan.first :]).ravel()
    width = reading.rows.shape[1] - reading.plan.first
    for entries in reading.entries.features():
        if not len(entries.values):
            continue
        record = records[entries.index]
        sizes = np.abs(entries.values)
        record["maximum"], record["mean"] = sizes.max(), sizes.mean(dtype=np.float64)
        if len(entries.values) >= LEAST_ACTIVE:
            record["flags"] = ONE_TOKEN * _is_mostly_one(ids[entries.tokens]) | ONE_POSITION * _is_mostly_one(
                entries.tokens % width
            )


def _is_mostly_one(values: np.ndarray) -> bool:
    """Whether one value makes up ONLY of them. What makes up more than half is the median."""
    # By partition, in linear time: nothing needs to be in order beyond the middle.
    middle = np.partition(values, len(values) // 2)[len(values) // 2]
    return bool((values == middle).mean() >= ONLY)


def _tops(reading: RowsReading, records: np.ndarray) -> None:
    """The TOPS strongest positions of each feature, one a row."""
    found = reading.strongest
    kept = found.ranks < TOPS
    features, tokens, ranks = found.features[kept], found.tokens[kept].astype(np.uint16), found.ranks[kept]
    first = np.zeros(len(records), np.uint16)
    first[features[ranks == 0]] = tokens[ranks == 0]
    # A feature with fewer rows than TOPS has its strongest position in the places that are left.
    records["tops"] = first[:, None]
    records["tops"][features, ranks] = tokens


@torch.no_grad()
def _on_bos(reading: RowsReading) -> np.ndarray:
    """Whether each feature is active on the BOS in front of rows, where there is one. [d_sae] bool"""
    if not reading.plan.bos:
        return np.zeros(reading.subject.d_sae, bool)
    hook = reading.subject.activations(reading.rows[:1, :1].astype(np.int64))[:, 0]
    return (reading.subject.sae.encode(hook)[0] != 0).cpu().numpy()


def _without_nan(figures: CheckpointFigures) -> CheckpointFigures:
    """A figure that does not exist is none: databases do not agree on NaN."""
    return CheckpointFigures(**{name: None if value != value else value for name, value in asdict(figures).items()})
