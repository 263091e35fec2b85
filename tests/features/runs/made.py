"""A run that nobody trained: made-up figures and records of any number of checkpoints and features."""

from datetime import UTC, datetime, timedelta

import numpy as np

from features.engine.training.measure_bins import DENSITIES
from features.engine.training.record import COUNT, RECORD
from features.models import SAE, Checkpoint, Run, Watch
from features.runs import records

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def run(tiny: SAE, checkpoints: int, d_sae: int, slug: str = "made", **of_run) -> Run:
    """Steps 1,000, 2,000 ...; feature 0 is born at the second, 1 dies at the third and is back at the last, 2 changes
    at the third."""
    watch = Watch.objects.get_or_create(path="/made")[0]
    fields = {"config": {}, "config_hash": slug, "name": slug, "folder": f"/made/{slug}"} | of_run
    made = Run.objects.create(
        watch=watch, slug=slug, model_path=tiny.model_path, model_name=tiny.model_name, hook_point=tiny.hook_point,
        d_in=tiny.d_in, d_sae=d_sae, corpus=tiny.corpus, rows=tiny.corpus, **fields,
    )  # fmt: skip
    for n in range(checkpoints):
        checkpoint = _checkpoint(made, n, tiny if n == checkpoints - 1 else None)
        records.store(checkpoint, *_records(n, checkpoints, d_sae))
    return made


def _checkpoint(run: Run, n: int, sae: SAE | None) -> Checkpoint:
    when = BEGAN + timedelta(hours=n)
    figures = {
        "tokens": 960, "rows": 64, "l0": 50 - 5 * n / 10, "l0_margin": 0.5, "explained_variance": 0.5 + n / 1000,
        "loss_clean": 4.0, "loss_reconstructed": 4.2 - n / 1000, "loss_zero_ablated": 6.0,
        "loss_recovered": 0.9 + n / 2000, "loss_recovered_margin": 0.01, "loss_cost_margin": 0.005, "loss_rows": 64,
        "dead": 1, "dense": 0, "density_histogram": np.arange(len(DENSITIES) - 1).tolist(), "twins": 2,
        "decoder_norm": 1.0, "encoder_norm": 1.2, "one_token": 1, "one_position": 0, "bos_only": 0,
        "l0_quantiles": [1, 2, 3, 4, 5, 9], "l0_histogram": {"edges": [0, 1, 2], "counts": [3, 4]},
        "health": {"common_direction": 0.02, "encoder_decoder_cosine": 0.6, "swarm": 1, "sampled_alive": 8,
                   "sampled_tokens": 960, "directions": 100, "rare": 0, "largest_l0": 9},
    }  # fmt: skip
    return Checkpoint.objects.create(
        watch=run.watch, run=run, sae=sae, path=f"{run.folder}/{1000 * (n + 1)}", signature=str(n), appeared=when,
        step=1000 * (n + 1), unit="tokens", state="done", measured=when, figures=figures,
    )  # fmt: skip


def _records(n: int, checkpoints: int, d_sae: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 200, d_sae).astype(COUNT)
    counts[0] = 0 if n == 0 else 40
    counts[1] = 0 if 2 <= n < checkpoints - 1 else 60
    found = np.zeros(d_sae, RECORD)
    found["maximum"], found["mean"] = rng.uniform(1, 5, (2, d_sae))
    found["before"] = np.nan if n == 0 else 0.99
    found["tops"] = rng.integers(0, 60_000, (d_sae, 20))
    found["nearest"], found["decoder_norm"], found["encoder_norm"], found["encoder_decoder"] = 0.3, 1, 1.2, 0.6
    if n == 2:
        found["before"][2] = 0.4
    return counts, found
