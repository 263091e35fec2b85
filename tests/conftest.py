"""What every test may count on: no waiting for readers, no queue outside, and a small SAE with a corpus."""

import numpy as np
import pytest
from django.db import connection
from django.test import override_settings

from features import runtime
from features.jobs import doorbell, loaded_job
from features.storage import write
from tests import made_up, migrated

LONG = {"test_finding_checks.py", "test_gelu1l.py", "test_live.py", "test_upgrade.py", "test_triton.py"}


def pytest_collection_modifyitems(items):
    """Files that take longest come first, those with real processes and browsers: others fill up what is left."""
    items.sort(key=_how_soon_done)


def _how_soon_done(item):
    if item.get_closest_marker("service"):
        return 0
    return 1 if item.path.name in LONG else 2 + (item.get_closest_marker("browser") is None)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings):
    """In SQLite the tests' database is a copy; what Django makes before it is made without going through migrations."""
    if connection.vendor == "sqlite":
        connection.settings_dict["TEST"]["MIGRATE"] = False


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    if connection.vendor == "sqlite":
        with django_db_blocker.unblock():
            migrated.copy_to(connection.connection)


@pytest.fixture(scope="session", autouse=True)
def _static_files():
    """They are looked for when they are asked for: each test has a client, and a client would list them all."""
    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(write, "READERS_FINISH", 0)


@pytest.fixture(autouse=True)
def no_model_of_another_test():
    """What a test has loaded, or put in a model's place, goes with it."""
    yield
    runtime._slots.clear()


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
        sha256=made_up.sha256_of(str(tmp_path)),
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
