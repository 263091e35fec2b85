"""An SAE whose features are each active on a word of their own, and a language model to ask about them."""

import numpy as np
import pytest

from features.engine.store.active_entries import ActiveEntries, ActiveEntriesWriter, Chunk
from features.engine.store.kept_entries import write_kept
from features.models import SAE, KeptActivations
from features.storage.kept_activations import about, path_of
from features.storage.readers import rows_of, vocabulary_of

from .. import shown
from .stand_in import StandIn, reads_well

WORDS = ["cat", "house", "river", "music", "winter", "paper"]  # of features 0 to 5, of which 3 is dead in the rows
FILL = ["the", "a", "of", "and", "in", "to", "was", "it", "that", "with"]


def word_sae(folder):
    """Rows of words; feature i is active, more or less, on WORDS[i]."""
    sae = shown.shown_sae(folder)
    corpus, vocabulary = sae.corpus, vocabulary_of(sae)
    ids = {word: vocabulary.ids(f" {word}", bos=False) for word in [*WORDS, *FILL]}
    ids = {word: found[0] for word, found in ids.items() if len(found) == 1}
    random = np.random.default_rng(0)
    shape = corpus.rows, corpus.row_length
    rows = np.zeros(shape, np.uint16)
    rows[:, 1:] = random.choice([ids[word] for word in FILL if word in ids], (shape[0], shape[1] - 1))
    dense = np.zeros((shape[0], shape[1] - 1, sae.d_sae), np.float32)
    for row in range(shape[0]):
        for index in random.permutation(len(WORDS))[:2]:  # two words in a row
            if WORDS[index] in ids:
                position = int(random.integers(shape[1] - 1))
                rows[row, 1 + position] = ids[WORDS[index]]
                dense[row, position] = 0
                dense[row, position, index] = random.uniform(0.5, 4)
    np.save(corpus.path, rows)
    flat = dense.reshape(-1, sae.d_sae)
    features, tokens = np.nonzero(flat.T)
    with ActiveEntriesWriter(folder / "words") as writer:
        writer.append(Chunk.of(0, len(flat), sae.d_sae, features, tokens, flat.T[features, tokens]))
    statistics = sae.statistics
    statistics.tokens = len(flat)
    statistics.save()
    kept = KeptActivations(statistics=statistics, folder=f"{statistics.pk}-0000abcd")
    path_of(kept).mkdir(parents=True)
    kept.manifest = write_kept(path_of(kept), ActiveEntries([folder / "words"]), about(statistics))
    kept.save()
    assert np.array_equal(rows_of(corpus), rows)
    return SAE.objects.for_pages().get(pk=sae.pk), [word in ids for word in WORDS]


@pytest.fixture
def words(db, tmp_path):
    return word_sae(tmp_path)[0]


@pytest.fixture
def model(settings):
    """A language model that reads well; the site's own."""
    stand_in = StandIn(reads_well)
    settings.SAEVIZ_LLM, settings.SAEVIZ_LLM_MODEL = stand_in.address, "parrot-1"
    yield stand_in
    stand_in.close()
