"""An SAE whose prompts are analysed by hand-written numbers, with and without stored statistics."""

from copy import deepcopy

import numpy as np
import pytest
from django.utils import timezone

from features import runtime
from features.models import SAE, Corpus, Statistics
from features.storage import feature_rows
from features.storage.readers import vocabulary_of
from tests import made_up
from tests.prompts.made_up_prompt import MadeUpPrompt

STORED = 64  # features with statistics


@pytest.fixture
def demo(settings):
    return settings.BASE_DIR / "features" / "demo"


@pytest.fixture
def bare_sae(db, demo, tmp_path):
    """The demo's model and SAE, without statistics."""
    np.save(tmp_path / "rows.npy", made_up.corpus_rows())
    corpus = Corpus.objects.create(
        slug="made-up",
        name="Made-up corpus",
        path=str(tmp_path / "rows.npy"),
        rows=made_up.ROWS,
        row_length=made_up.LENGTH,
        sha256=made_up.sha256_of(str(tmp_path)),
    )
    return SAE.objects.create(
        slug="demo",
        name="Demo",
        path=str(demo / "sae"),
        model_path=str(demo / "model"),
        model_name="gelu-1l-mini",
        hook_point="blocks.0.mlp.hook_post",
        d_in=1024,
        d_sae=4096,
        checkpoint_hash="abc",
        corpus=corpus,
    )


@pytest.fixture
def sae(bare_sae):
    """The same with statistics of its first features."""
    statistics = Statistics.objects.create(
        sae=bare_sae, corpus=bare_sae.corpus, tokens=960, checkpoint_hash="abc", completed=timezone.now()
    )
    feature_rows.save(rows_of(statistics))
    bare_sae.statistics = statistics
    bare_sae.save()
    return bare_sae


def rows_of(statistics):
    """Of the first features: made once, and as new ones of these statistics for each test."""
    of_the_first_test, rows = _rows(statistics)
    rows = deepcopy(rows, {id(of_the_first_test): statistics})
    for row in rows:
        row.statistics = statistics
    return rows


_made = []


def _rows(statistics):
    if not _made:
        features = (made_up.feature(index) for index in range(STORED))
        _made.append((statistics, [row_of(statistics, feature) for feature in features]))
    return _made[0]


def row_of(statistics, feature):
    return feature_rows.row_of(feature, statistics, vocabulary_of(statistics.sae), made_up.corpus_rows())


@pytest.fixture
def made_up_model(monkeypatch):
    """Prompts are analysed without a model; the list tells which token ids were."""
    analysed = []

    def analyse(subject, ids):
        analysed.append(list(ids))
        return MadeUpPrompt(ids, features=STORED)

    monkeypatch.setattr(runtime, "_subject", lambda sae: sae)
    monkeypatch.setattr(runtime, "_first_forward", lambda subject: None)
    monkeypatch.setattr(runtime, "_analyse", analyse)
    return analysed


@pytest.fixture
def ask(client, sae, made_up_model):
    """JSON of the prompt address of the SAE: ask(text=..., position=...)."""
    return lambda **query: client.get("/saes/demo/prompt/", {"format": "json", **query})
