"""Which rows of the demo's corpus hold the top activations of what its findings name? On these rows they are the same
as on all, and are found in a tenth of the time.

    python -m tests.prompts.evidence    # after `manage.py compute_features`: writes them anew
"""

import json
import os
from pathlib import Path

FILE = Path(__file__).parents[1] / "data" / "evidence_rows.json"


def read() -> dict:
    """weights: the hash that they are of; features: what was named then; rows: their numbers in the corpus, sorted."""
    return json.loads(FILE.read_text())


def write(slug: str = "gelu-1l-mini") -> None:
    """From the statistics that are stored of all features."""
    from features.models import SAE, Feature
    from features.storage.feature_rows import statistics_of
    from features.storage.findings_file import read_of

    sae = SAE.objects.for_pages().get(slug=slug)
    named = {finding.feature for finding in read_of(sae).features}
    found = Feature.objects.shown_of(sae).with_payloads().filter(index__in=named)
    numbers = {int(number) for row in found for number in statistics_of(row).examples.top.rows}
    told = {"weights": sae.checkpoint_hash, "features": sorted(named), "rows": sorted(numbers)}
    FILE.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    django.setup()
    write()
