"""What the files say of the training's text is honoured where rows are built, and said where rows are others."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from features.engine.corpus.token_rows import open_rows
from features.engine.corpus.training_text import TrainingText
from features.engine.model.vocabulary import Vocabulary
from features.importing import corpora
from features.models import SAE
from features.storage.readers import vocabulary_of
from tests.features import checkpoints

SHORT = {"context_size": 16, "seqpos_slice": [3, 12], "prepend_bos": True}


@pytest.fixture
def files(tmp_path, settings, sent, db):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path)]
    files = checkpoints.write(tmp_path)
    path = Path(files.sae) / "cfg.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"metadata": config["metadata"] | SHORT}))
    return files


def imported(files, **options):
    call_command("import_sae", files.sae, **{"model": files.model, "corpus": files.text, "how": "none"} | options)
    return SAE.objects.get()


def test_rows_are_as_long_as_those_of_the_training_and_leave_out_what_it_left_out(files, client):
    sae = imported(files, how="compute", tokens=300)
    corpus, rows = sae.corpus, open_rows(sae.corpus.path)
    assert (corpus.row_length, corpus.bos, corpus.skipped, corpus.first) == (12, True, 2, 3)
    assert corpus.counted == (~np.isin(rows[:, 3:], sorted(vocabulary_of(sae).special))).sum()
    assert 300 <= sae.statistics.tokens <= 300 + 9  # whole rows, of 9 counted tokens at most
    page = client.get(f"/saes/{sae.slug}/features/5.json").json()
    positions = [example["position"] for example in page["sequences"]["top"]]
    assert positions and min(positions) >= 3
    assert "positions of each row after BOS are not counted" in client.get(f"/saes/{sae.slug}/").content.decode()
    prompt = {"format": "json", "position": "1"}
    short = client.get(f"/saes/{sae.slug}/prompt/", {"text": "the win", **prompt}).json()
    longer = client.get(f"/saes/{sae.slug}/prompt/", {"text": "the win in the pines", **prompt}).json()
    assert short["beyond_training"] == ""
    assert "trained on sequences of 12 tokens; this prompt has" in longer["beyond_training"]


def test_a_named_corpus_is_read_as_it_is_and_the_difference_said(files, client, capsys):
    corpora.build(files.text, files.model, slug="pines", length=32).register()
    sae = imported(files, corpus="pines")
    said = capsys.readouterr().out
    assert "Trained on 12 tokens, counted on rows of 32: what it does on later tokens, nobody has trained." in said
    assert "Trained on positions from 3 on (seqpos_slice), counted from 1 on." in said and "--skip-first 2" in said
    assert "Trained on 12 tokens, counted on rows of 32" in client.get(f"/saes/{sae.slug}/").content.decode()


@pytest.mark.parametrize(
    ("context", "positions", "found"),
    [
        (128, None, (128, 0)),
        (None, [1, 16], (16, 1)),
        (128, [None], (128, 0)),
        (128, [0, -1], (127, 0)),
        (128, "1:16", (128, 0)),
        (128, [{}], (128, 0)),
        (-3, [5, None], (None, 5)),
        (None, None, (None, 0)),
    ],
)
def test_every_form_of_slice_is_read_and_what_is_none_is_left(context, positions, found):
    training = TrainingText.of({"context_size": context}, {"seqpos_slice": positions})
    assert (training.longest, training.first) == found


def test_no_bos_where_the_training_had_one_is_said(files):
    Path(files.model, "tokenizer_config.json").write_text("{}")
    [said] = TrainingText(bos=True).differences(32, 0, False, Vocabulary.load(files.model))
    assert said.startswith("Trained on sequences with BOS in front; the rows here have none, and no file names a bos")
