"""What every test may count on: no waiting for readers, no queue outside, and a small SAE with a corpus."""

import numpy as np
import pytest
from django.test import override_settings

from features.jobs import doorbell, loaded_job
from features.storage import write
from tests import made_up

LONG = {"test_finding_checks.py", "test_gelu1l.py"}


def pytest_collection_modifyitems(items):
    """Files that take longest come first, those that start real processes among them: others fill up what is left."""
    items.sort(key=lambda item: item.get_closest_marker("service") is None and item.path.name not in LONG)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(write, "READERS_FINISH", 0)


@pytest.fixture
def sent(monkeypatch):
    """A doorbell for each message sent, instead of a queue."""
    rung = []
    monkeypatch.setattr(doorbell, "ring", lambda: rung.append("ring") or True)
    return rung


@pytest.fixture
def tiny(db, settings, tmp_path):
    """An SAE of 8 features whose files are the demo's, on a made-up corpus of 960 tokens; no statistics."""
    from features.models import SAE, Corpus

    demo = settings.BASE_DIR / "features" / "demo"
    np.save(tmp_path / "tiny.npy", made_up.corpus_rows())
    corpus = Corpus.objects.create(
        slug="tiny",
        name="Made-up corpus",
        path=str(tmp_path / "tiny.npy"),
        rows=made_up.ROWS,
        row_length=made_up.LENGTH,
        sha256=str(tmp_path),
    )
    return SAE.objects.create(
        slug="tiny",
        name="Tiny",
        path=str(demo / "sae"),
        model_path=str(demo / "model"),
        model_name="gelu-1l-mini",
        hook_point="blocks.0.mlp.hook_post",
        format="saelens",
        d_in=1024,
        d_sae=8,
        checkpoint_hash="c0ffee",
        corpus=corpus,
    )


@pytest.fixture(autouse=True)
def shards(tmp_path):
    """Where the parts of jobs leave their files, and activations are kept beside them. Not by `settings`: some tests
    have a parameter of that name."""
    with override_settings(SAEVIZ_SHARDS=tmp_path / "shards", SAEVIZ_KEPT=tmp_path / "kept"):
        yield tmp_path / "shards"


@pytest.fixture
def engine(monkeypatch):
    """Jobs get made-up figures; what is set on this object is what they get."""
    collected = made_up.Collected()
    monkeypatch.setattr(loaded_job, "LoadedJob", lambda job: made_up.Loaded(job, collected))
    return collected
