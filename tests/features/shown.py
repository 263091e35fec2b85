"""An SAE with made-up statistics, as pages show it: what the tests of pages, table and browser start from."""

from dataclasses import replace
from functools import cache

import numpy as np
from django.conf import settings

from features.engine.activity.quantiles import values_at_ranks
from features.engine.model.vocabulary import Vocabulary
from features.engine.results import Correlates, Neighbours
from features.models import SAE, Corpus
from features.storage import feature_rows, write
from tests import made_up

D_SAE = 12  # of which the last four have no statistics, and feature 3 is dead
COMPUTED = 8
TOKENS = 9600  # so many that the made-up features are not dense
DEMO = settings.BASE_DIR / "features" / "demo"
TEXT = 'if a < b: print("<script>window.stung = 1</script>") </script> & é 日本\n\ttab '


class Collected(made_up.Collected):
    """Made-up features whose quantiles and links fit the rest of them."""

    per_row = 3.0

    @property
    def summary(self):
        return made_up.summary(tokens=TOKENS)

    def features(self):
        for feature in super().features():
            if feature.activity.count:
                feature = made_up.feature(feature.index, tokens=TOKENS, per_row=self.per_row)
                quantiles = values_at_ranks(np.sort(feature.shown.activations)[::-1])
                feature = replace(feature, activity=replace(feature.activity, quantiles=quantiles))
            yield replace(feature, tokens=TOKENS, relatives=relatives_of(feature))


def relatives_of(feature):
    """Links to features that there are."""
    others = np.array([i for i in range(D_SAE) if i != feature.index][:7], dtype=np.int32)
    before = feature.relatives.correlated_features
    pearson = np.clip(before.pearson[:7], -0.9, 0.9)  # no feature is nearly another one
    correlated = Correlates(others, pearson, before.cosine[:7], before.decoder_cosine[:7])
    return replace(
        feature.relatives,
        neighbours=Neighbours(others, np.clip(feature.relatives.neighbours.cosine[:7], -0.9, 0.9)),
        correlated_features=correlated,
        correlated_b=correlated,  # told where there is a B
    )


@cache
def corpus_rows():
    """Rows of a text that would do harm if a page took it for markup.  [ROWS, LENGTH]"""
    ids = Vocabulary.load(DEMO / "model").ids(TEXT, bos=False)
    width = made_up.LENGTH - 1
    tokens = np.resize(np.array(ids, dtype=np.uint16), (made_up.ROWS, width))
    return np.concatenate([np.zeros((made_up.ROWS, 1), np.uint16), tokens], axis=1)


def bare_sae(folder, slug="tiny", **changes):
    """An SAE without statistics."""
    np.save(folder / f"{slug}.npy", corpus_rows())
    corpus = Corpus.objects.create(
        slug=slug,
        name="Made-up <b>corpus</b>",
        path=str(folder / f"{slug}.npy"),
        rows=made_up.ROWS,
        row_length=made_up.LENGTH,
        sha256=made_up.sha256_of(str(folder)),
        licence="Public domain",
    )
    facts = {
        "name": "Tiny",
        "path": str(DEMO / "sae"),
        "model_path": str(DEMO / "model"),
        "model_name": "gelu-1l-mini",
        "hook_point": "blocks.0.mlp.hook_post",
        "format": "SAELens",
        "d_in": 1024,
        "d_sae": D_SAE,
        "checkpoint_hash": "c0ffee" * 10,
    }
    return SAE.objects.create(slug=slug, corpus=corpus, **facts | changes)


def store(sae, collected):
    """Statistics of an SAE as a job leaves them, without a job."""
    statistics = write._new_set(sae, sae.corpus, sae.encoder_b, collected.summary)
    for rows in write._batches(write._rows(sae, statistics, collected.features())):
        feature_rows.save(rows)
    before = write._switch(sae, statistics)
    if before:
        write.remove_set(before)
    return statistics


def shown_sae(folder, slug="tiny", **changes):
    """The same with statistics of its first features."""
    sae = bare_sae(folder, slug, **changes)
    store(sae, Collected(size=COMPUTED))
    return SAE.objects.for_pages().get(pk=sae.pk)


def sae_in_a_folder(folder, **changes):
    """The same with its checkpoint in a folder of its own, where findings may lie."""
    own = folder / "checkpoint"
    own.mkdir()
    return shown_sae(folder, path=str(own), **changes)
