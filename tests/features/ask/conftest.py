"""An SAE whose activations are kept: some go with the text, one with nothing, one is dead."""

import numpy as np
import pytest
from django.conf import settings

from features.engine.ask.row_text import TokenBytes, row_texts
from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import write_kept
from features.models import SAE, KeptActivations
from features.storage.kept_activations import about, path_of
from features.storage.readers import rows_of, vocabulary_of

from .. import shown

PRINT, SCRIPT, DEAD = 2, 5, 3  # features: on "print", on "script" and here and there, never


def with_kept(folder, skipped=0):
    """`skipped`: positions behind BOS that the corpus does not count."""
    sae = shown.shown_sae(folder)
    statistics = sae.statistics
    statistics.corpus.skipped = skipped
    statistics.corpus.save()
    (text,) = row_texts(rows_of(sae.corpus), 1 + skipped, TokenBytes(vocabulary_of(sae)))
    labels = np.array([vocabulary_of(sae).label(id) for id in text.ids])
    rng = np.random.default_rng(0)
    dense = rng.random((len(text), sae.d_sae)).astype(np.float32) * (rng.random((len(text), sae.d_sae)) < 0.2)
    dense[:, PRINT] = (np.char.strip(labels) == "print") * (1 + np.arange(len(text)) % 7)
    dense[:, SCRIPT] = (np.char.find(labels, "script") >= 0) * 2 + (rng.random(len(text)) < 0.02)
    dense[::97, SCRIPT] = 0
    dense[:, DEAD] = 0
    with ActiveEntriesWriter(folder / "shard") as writer:
        features, tokens = np.nonzero(dense.T)
        writer.append(Chunk.of(0, len(text), sae.d_sae, features, tokens, dense.T[features, tokens]))
    statistics.tokens = int(text.counted.sum())
    statistics.save()
    row = KeptActivations(statistics=statistics, folder=f"{statistics.pk}-0000abcd")
    path_of(row).mkdir(parents=True)
    row.manifest = write_kept(path_of(row), ActiveEntries([folder / "shard"]), about(statistics))
    row.save()
    return SAE.objects.for_pages().get(pk=sae.pk), dense, text, labels


@pytest.fixture
def asked(db, tmp_path):
    """(SAE, activations [tokens, d_sae], text, labels of its tokens)"""
    assert str(settings.SAEVIZ_KEPT).startswith(str(tmp_path))
    return with_kept(tmp_path)
