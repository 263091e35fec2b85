"""A dataset of the hub becomes a corpus: its training texts, or those that are chosen, and never too many."""

import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from django.core.management import CommandError, call_command

from features.engine.corpus.token_rows import open_rows
from features.engine.model.vocabulary import Vocabulary
from features.importing import hub, hub_datasets
from features.models import Corpus
from tests.engine import small
from tests.hub import Hub

pytestmark = pytest.mark.django_db
NAME = "somebody/some-texts"


@pytest.fixture
def served(tmp_path, settings, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    monkeypatch.setattr(hub, "PAUSE", 0)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "hub/datasets" / NAME
    (folder / "data").mkdir(parents=True)
    for split, word in (("train-0", "wind"), ("train-1", "winter"), ("test-0", "pines")):
        table = pyarrow.table({"text": [f"the {word} in the {word}"] * 40})
        pyarrow.parquet.write_table(table, folder / f"data/{split}.parquet")
    (folder / "README.md").write_text("about")
    (folder / "notes.jsonl").write_text(json.dumps({"text": "something else"}))
    small.write_model(tmp_path / "small")
    with Hub(tmp_path / "hub").used(monkeypatch) as here:
        yield here


def added(served, name=NAME, **options):
    out = io.StringIO()
    call_command("add_corpus", name, model="small", stdout=out, **options)
    return out.getvalue()


def text_of(corpus):
    rows = open_rows(corpus.path)
    return Vocabulary.load("small").tokenizer.decode(rows[rows > 2].tolist())


def test_a_dataset_becomes_a_corpus_of_its_training_texts(served):
    told = added(served)
    corpus = Corpus.objects.get()
    assert "train-0.parquet: 0.0 of 0.0 MB" in told and f"{corpus.slug}: {corpus.tokens:,} tokens" in told
    assert corpus.name == NAME and corpus.slug.startswith("some-texts-")
    assert corpus.licence == f"{NAME} from the Hugging Face hub, licence as its authors say: cc0-1.0."
    assert {word: word in text_of(corpus) for word in ("wind ", "winter", "pines", "something")} == {
        "wind ": True,
        "winter": True,
        "pines": False,
        "something": False,
    }


def test_files_can_be_chosen(served):
    added(served, files="data/test-*", licence="mine")
    assert "pines" in text_of(Corpus.objects.get()) and "wind" not in text_of(Corpus.objects.get())
    assert Corpus.objects.get().licence == "mine"


def test_what_is_too_much_is_refused_before_any_of_it_is_fetched(served, monkeypatch):
    monkeypatch.setattr(hub_datasets, "MAX_BYTES", 900)
    with pytest.raises(CommandError, match=r"No corpus was added. 2 files of .* have \d,\d+ bytes; at most 900"):
        added(served)
    assert not Corpus.objects.exists() and len(served.asked) == 1


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        (NAME, "*.txt", "No file of somebody/some-texts fits '.*txt'; it has data/test-0.parquet"),
        ("somebody/nothing", "", "http://.* has no datasets/somebody/nothing, or it is private: .* Is the name right"),
    ],
)
def test_what_is_not_there_is_said(served, name, files, words):
    with pytest.raises(CommandError, match=words):
        added(served, name, files=files)


def test_a_dataset_without_text_names_what_it_has(served, tmp_path):
    (tmp_path / "hub/datasets/somebody/pictures").mkdir()
    (tmp_path / "hub/datasets/somebody/pictures/cat.png").write_text("")
    with pytest.raises(CommandError, match="ends in one of .txt, .*; it has cat.png. Choose with --files, or convert"):
        added(served, "somebody/pictures")


def test_a_folder_of_that_name_is_no_dataset(served, tmp_path):
    (tmp_path / NAME).mkdir(parents=True)
    (tmp_path / NAME / "a.txt").write_text("the pines in the wind " * 50)
    added(served)
    assert not served.asked and Corpus.objects.get().name == "some-texts"


def test_without_a_network_it_says_so(served, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    words = (
        "some-texts is no path here; as a name on the hub: http://127.0.0.1:9 does not answer .*Run it again with one"
    )
    with pytest.raises(CommandError, match=f"No corpus was added. somebody/{words}"):
        added(served)
