"""How long does a page of the table take, count included, at 16,384 and 131,072 features on SQLite?"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

PAGES = {
    "plain": "",
    "by density": "?sort=-density",
    "by density, page 100": "?sort=-density&page=100",
    "by max / mean, which is computed": "?sort=-peak",
    "two ranges": "?range=density:0.001..0.01&range=maximum:2..&sort=-mean",
    "token": "?q=we&by=fired",
    "among the ten boosted tokens": "?q=django&by=boosts",
    "labelled, by label": "?labelled=yes&sort=label",
    "search in labels": "?q=label+77&by=label",
    "one of each twins, by correlation": "?show=each&sort=-correlated",
    "a feature without payload, its place in a list": "777.json?range=density:0.0001..0.01&sort=-density",
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
        os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        for size in (16_384, 131_072):
            filled(Path(folder), size)
            print(f"{size:,} features, {size // 13:,} labels: median of 7 after the first, processor and clock")
            for name, query in PAGES.items():
                print(f"  {name:<40} {timed(f'/saes/wide{size}/features/{query}')}", flush=True)


def filled(folder: Path, size: int) -> None:
    """An SAE of so many features, with figures like those of a real one."""
    import numpy as np

    from features.models import Feature, FeatureSearch, Judgement, Statistics
    from tests.features import shown

    sae = shown.bare_sae(folder, f"wide{size}", d_sae=size, checkpoint_hash=f"{size:064}")
    sae.statistics = Statistics.objects.create(sae=sae, corpus=sae.corpus, tokens=500_000, grouped=True)
    sae.save()
    draw = np.random.default_rng(0)
    counts = np.minimum(400_000, draw.lognormal(6, 2, size)).astype(int)
    words = np.array([" we", " Django", "(", " the", " well", "\n", " sqlite", "3"])
    for start in range(0, size, 4096):
        rows = [
            Feature(
                statistics=sae.statistics,
                index=index,
                tokens=500_000,
                count=int(counts[index]),
                density=counts[index] / 500_000,
                maximum=float(value * 4),
                mean=float(value),
                top_token=str(words[index % 8]),
                top_logit=str(words[index % 7]),
                nearest_cosine=float(value / 4),
                strongest_correlation=float(value / 5),
            )
            for index, value in zip(range(start, min(size, start + 4096)), draw.gamma(2, 0.4, 4096), strict=False)
        ]
        Feature.objects.bulk_create(rows)
        ids = [draw.integers(0, 5000, 10).astype(np.int32).tobytes() for _ in rows]
        FeatureSearch.objects.bulk_create(
            [FeatureSearch(feature=row, boosted=ten, suppressed=ten) for row, ten in zip(rows, ids, strict=True)]
        )
    Judgement.objects.bulk_create(
        Judgement(weights=sae.checkpoint_hash, width=size, index=i, author="ann", label=f"label {i}", revision=1)
        for i in range(0, size, 13)
    )


def timed(address: str) -> str:
    from django.test import Client

    client, clocks, processors = Client(SERVER_NAME="localhost"), [], []
    for _ in range(8):
        clock, processor = time.perf_counter(), time.process_time()
        answer = client.get(address)
        clocks.append(1000 * (time.perf_counter() - clock))
        processors.append(1000 * (time.process_time() - processor))
        assert answer.status_code == 200, (address, answer.status_code, answer.content[:200])
    first, rest = processors[0], processors[1:]
    return f"{statistics.median(rest):6.0f} ms, clock {statistics.median(clocks[1:]):6.0f}; the first {first:6.0f}"


if __name__ == "__main__":
    sys.exit(main())
