"""How good are the model and its SAE? Measured by what measures every SAE of the site, see docs/definitions.md."""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from features.engine.activity.health import health
from features.engine.activity.top_examples import TokenLayout
from features.engine.collect import shards
from features.engine.collect.shard_pass import ENCODERS, ShardPass
from features.engine.corpus.token_rows import build_rows, counted_tokens
from features.engine.results import Health, Summary
from features.engine.store.active_entries import ActiveEntries
from features.engine.store.sums import CorpusSums
from features.engine.subject import Subject
from features.engine.weights import summary
from features.engine.weights.decoder_neighbours import DecoderRows

from .text import documents as texts

TWIN_ABOVE = 0.9  # cosine of decoder rows
DENSITY_TOKENS = 500_000
READ, READ_SEED = 120, 20_261_128  # features that two readers judge, drawn so; set before anything was trained


@dataclass(frozen=True)
class Figures:
    """Quality of a model and an SAE. Losses in nats per token, over every next token of the held-out rows."""

    loss: float
    loss_with_sae: float
    loss_zero_ablated: float
    loss_recovered: float  # (zero-ablated - with the SAE) / (zero-ablated - clean)
    held_out_tokens: int  # predicted, EOS among them
    l0: float  # features a token, special tokens not counted, as in all that follows
    explained_variance: float
    features: int
    density_tokens: int  # the population of the next two
    dead: float  # share of the features that never fired
    dense: float  # share of the features that fired on more than 10 % of tokens
    twins: float  # share of the features that fired whose decoder row has a cosine above 0.9 with another's
    health: Health  # of the tokens of the densities
    to_read: list[int]  # READ of the features that fired, at random: those by which readability is judged

    def lines(self) -> list[str]:
        figures = asdict(self)
        health = figures.pop("health")
        return [f"{name:23} {printed(value)}" for name, value in (figures | health).items()]


def printed(value: float | int | list[int] | None) -> str:
    """A figure as a line shows it."""
    if value is None:
        return "too few features"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def measure(
    subject: Subject,
    held_out: np.ndarray,  # [rows, n_ctx], for losses, L0 and explained variance
    corpus: np.ndarray,  # [rows, n_ctx], for densities
    tokens: int = DENSITY_TOKENS,
) -> Figures:
    """All figures; as many corpus rows are read as hold `tokens` counted tokens, or all of them.

    Another processor rounds differently: losses agree to 1e-5 nats, L0 to 1e-4 (a few activations beside a threshold).
    """
    shard_pass = ShardPass(subject, first=1)
    on_held_out, _ = over(shard_pass, held_out, held_out.size)
    on_corpus, alive = over(shard_pass, corpus, tokens)
    # Unlike on the site, the end of a document is a prediction too: the plain loss of a language model.
    losses = summary.losses(subject, shard_pass.encoders[0], held_out, uncounted=())
    clean, with_sae, zero_ablated = (losses[:3] / losses[3]).tolist()
    return Figures(
        loss=clean,
        loss_with_sae=with_sae,
        loss_zero_ablated=zero_ablated,
        loss_recovered=(zero_ablated - with_sae) / (zero_ablated - clean),
        held_out_tokens=int(losses[3]),
        l0=on_held_out.l0,
        explained_variance=on_held_out.explained_variance,
        features=subject.d_sae,
        density_tokens=on_corpus.tokens,
        dead=on_corpus.dead / subject.d_sae,
        dense=on_corpus.dense / subject.d_sae,
        twins=twins(subject, alive),
        health=on_corpus.health,
        to_read=drawn(alive),
    )


def drawn(alive: np.ndarray) -> list[int]:
    """READ of the features that fired, alive [d_sae], or all; sorted."""
    chance = np.random.default_rng(READ_SEED)
    fired = np.flatnonzero(alive)
    return sorted(chance.choice(fired, min(READ, len(fired)), replace=False).tolist())


def over(shard_pass: ShardPass, rows: np.ndarray, tokens: int) -> tuple[Summary, np.ndarray]:
    """The site's figures of the SAE on the first rows that hold so many counted tokens, or on all; and which features
    fired there. [d_sae] bool"""
    special = shard_pass.subject.vocabulary.special
    tokens = min(tokens, int(counted_tokens(rows, special).sum()))
    plan = shards.plan_shards(rows, tokens=tokens, bos=True, special=special)
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "shard"
        shard_pass.run(rows, (0, plan.used_rows), plan.rows_per_chunk, shard, lambda tokens: None)
        sums, entries = CorpusSums.load(shard), ActiveEntries([shard / ENCODERS[0]])
        found = health(shard_pass.subject, entries, TokenLayout(np.asarray(rows[: plan.used_rows]), 1))
    figures = summary.sae_summary(plan, sums, entries.counts, np.zeros((0, 4)), seed=0)
    return replace(figures, health=found), entries.counts > 0


def twins(subject: Subject, alive: np.ndarray) -> float:
    """Share of the features that fired, alive [d_sae], with another such one at a decoder cosine above TWIN_ABOVE."""
    rows = subject.sae.W_dec[alive]
    if len(rows) < 2:
        return 0.0
    nearest = [neighbours.cosine[0] for neighbours in DecoderRows(rows).neighbours(np.arange(len(rows)))]
    return float(np.mean(np.array(nearest) > TWIN_ABOVE))


def density_rows(subject: Subject, folder: Path, tokens: int) -> np.ndarray:
    """Token rows of the texts of a folder, of all sources: a quarter of the documents where that is enough.
    [rows, n_ctx]"""
    documents = texts.mixed(folder)
    rows = build_rows(documents[: max(1, len(documents) // 4)], subject.vocabulary, subject.model.n_ctx)
    enough = rows.size >= tokens * 1.02  # BOS and EOS are not counted
    return rows if enough else build_rows(documents, subject.vocabulary, subject.model.n_ctx)
