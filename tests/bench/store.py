"""How long does it take to store an SAE's statistics, and how large are they?

    DATABASE_URL=... python -m tests.bench.store [FEATURES]

Made-up features of the size of real ones, into an SAE that is removed again.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
django.setup()

import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Avg  # noqa: E402
from django.db.models.functions import Length  # noqa: E402

from features.models import SAE, Corpus, FeaturePayload  # noqa: E402
from features.storage import write  # noqa: E402
from tests import made_up  # noqa: E402
from tests.features import shown  # noqa: E402

KINDS = 100  # different features; the rest repeat them
ACTIVE = 3000  # tokens a feature is active on: the length of its quantile sketch


class Collected:
    def __init__(self, size):
        self.size, self.summary = size, made_up.summary()
        sketch = np.sort(np.random.default_rng(0).random(280, dtype=np.float32))[::-1]
        self.kinds = [
            replace(feature, activity=replace(feature.activity, count=ACTIVE, quantiles=sketch))
            for feature in (made_up.feature(i, rows=30_000, length=128, per_row=5.2, chosen=20) for i in range(KINDS))
        ]

    def features(self):
        return (replace(self.kinds[index % KINDS], index=index) for index in range(self.size))


def main(size):
    call_command("migrate", verbosity=0)
    folder = Path(tempfile.mkdtemp())
    np.save(folder / "rows.npy", made_up.corpus_rows(rows=30_000, length=128))
    demo = settings.BASE_DIR / "features" / "demo"
    facts = {"rows": 30_000, "row_length": 128, "path": str(folder / "rows.npy"), "sha256": str(folder)}
    corpus = Corpus.objects.create(slug=f"bench-{os.getpid()}", name="bench", **facts)
    sae = SAE.objects.create(
        slug=corpus.slug,
        name="bench",
        d_in=1,
        d_sae=size,
        corpus=corpus,
        path="",
        model_path=str(demo / "model"),
    )
    collected = Collected(size)
    try:
        for what in ("store", "store again, and remove the old"):
            start = time.perf_counter()
            shown.store(sae, collected)
            print(f"{connection.vendor}: {what} {size:,} features: {time.perf_counter() - start:.1f} s")
        stored = FeaturePayload.objects.filter(feature__statistics=sae.statistics)
        sizes = stored.aggregate(payload=Avg(Length("payload")), quantiles=Avg(Length("quantiles")))
        print(", ".join(f"{name} {value:,.0f} bytes" for name, value in sizes.items()), "a feature")
    finally:
        SAE.objects.filter(pk=sae.pk).update(statistics=None)
        write.remove_leftovers(sae)
        sae.delete()
        corpus.delete()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16_384)
