"""Text becomes rows with their documents; what was assumed of it is told, and rows of earlier versions keep theirs."""

import io
import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from django.core.management import CommandError, call_command

from features.engine.confined import process
from features.engine.corpus.document_table import open_table
from features.engine.corpus.errors import CorpusError
from features.importing import corpora
from features.models import Corpus
from features.storage import opened, readers
from tests.features import checkpoints

MANY = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 2000}  # letters for one


@pytest.fixture
def files(tmp_path, settings, db):
    settings.DATA_DIR = tmp_path / "data"
    return checkpoints.write(tmp_path)


def added(files, text, **options):
    out = io.StringIO()
    call_command("add_corpus", str(text), model=files.model, stdout=out, **options)
    return out.getvalue()


def jsonl(files, *rows):
    path = files.folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_kinds_and_notes_are_told_and_kept_with_the_corpus(files):
    rows = [{"body": f"the wind {n} in the pines", "lang": "en" if n % 3 else "la"} for n in range(30)]
    told = added(files, jsonl(files, *rows, {"body": None}), field="body", kind="lang")
    corpus = Corpus.objects.get()
    assert "30 documents, each ends with <|EOS|>; kinds: en, la." in told
    assert (corpus.documents, list(corpus.kinds), corpus.eos) == (30, ["en", "la"], "<|EOS|>")
    assert [note for note in corpus.notes if "have no text (null)" in note] and corpus.notes[0] in told
    table = open_table(corpus.path, corpus.sha256)
    assert table.tokens_by_kind() == corpus.kinds and sum(corpus.kinds.values()) <= corpus.rows * corpus.row_length


def test_another_eos_or_another_way_of_reading_makes_another_corpus(files):
    built = corpora.build(files.text, files.model)
    assert corpora.build(files.text, files.model) == built
    assert corpora.build(files.text, files.model, options=corpora.TextOptions(special=True)).path != built.path
    config = Path(files.model) / "tokenizer_config.json"
    config.write_text(config.read_text().replace("<|EOS|>", "<|PAD|>"))
    assert corpora.build(files.text, files.model).path != built.path
    config.write_text("{}")
    notes = corpora.build(files.text, files.model).notes
    assert any("Nothing stands between documents: no file names a eos" in note for note in notes)
    assert any("Rows start without BOS" in note for note in notes)


def test_rows_of_an_earlier_version_keep_their_name_and_get_their_documents(files):
    built = corpora.build(files.text, files.model)
    built.register()
    Corpus.objects.update(slug="old", name="As it was called", documents=None, kinds=None)
    again = corpora.build(files.text, files.model).register()
    assert (again.slug, again.name, again.documents) == ("old", "As it was called", 59)
    assert "With the last row, which is incomplete, 1 of 60 documents is left out" in again.notes[1]
    assert corpora.build(files.text, files.model, slug="mine").register().slug == "mine"


def test_a_folder_of_the_hub_s_cache_is_read_by_the_names_of_its_links(files):
    blob = files.folder / "blobs" / ("c" * 64)
    blob.parent.mkdir()
    blob.write_text("\n".join([json.dumps({"text": "the wind in the pines"})] * 30))
    link = files.folder / "snapshot" / "t.jsonl"
    link.parent.mkdir()
    link.symlink_to(blob)
    assert "30 documents" in added(files, link) and "30 documents" in added(files, link.parent)


def test_what_cannot_be_left_out_is_refused(files):
    with pytest.raises(CommandError, match="Of rows of 4 tokens 3 are to be left out, and none is left"):
        added(files, files.text, length=4, skip_first=3)


def test_a_text_that_takes_more_than_is_allowed_is_named_with_the_setting_that_allows_it(files, settings):
    settings.SAEVIZ_FILE_MEMORY = 24 << 20
    path = files.folder / "packed.parquet"
    parquet.write_table(arrow.table({"text": ["the wind in the pines " * 50_000] * 60}), path)
    assert path.stat().st_size < 100_000
    said = (
        rf"{path} \([\d,]+ bytes\) with the tokenizer in .* took \d+ MiB of memory and was ended; 2\d MiB are allowed"
    )
    with pytest.raises(CommandError, match=said + r" \(SAEVIZ_FILE_MEMORY raises it\)"):
        added(files, path)
    assert not Corpus.objects.exists()
    settings.SAEVIZ_FILE_MEMORY = 2 << 30
    assert "30 documents" in added(files, jsonl(files, *({"text": f"the wind {n} in the pines"} for n in range(30))))


def test_who_cancels_waits_for_no_file(files, monkeypatch):
    class Cancelled(Exception):
        pass

    def cancel():
        raise Cancelled

    monkeypatch.setattr(process, "TICK", 0)
    data = json.loads((Path(files.model) / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Sequence", "normalizers": [MANY] * 4}  # never comes to an end
    (Path(files.model) / "tokenizer.json").write_text(json.dumps(data))
    with opened.children.one() as child:
        child.load(opened.TEXTS)
    with pytest.raises(Cancelled):
        corpora.build(files.text, files.model, tick=cancel)


def test_damage_in_a_corpus_is_found_where_it_is_read_and_made_again_with_its_text(files):
    corpus = corpora.build(files.text, files.model).register()
    rows = Path(corpus.path)
    for ending, place, read in (
        (".npy", 200, readers.rows_of),
        (".documents.json", 200, readers.documents_of),
        (".documents.npy", -40, readers.documents_of),
    ):
        damaged = rows.with_suffix(ending)
        whole = damaged.read_bytes()
        flipped = bytearray(whole)
        flipped[place] ^= 1
        damaged.write_bytes(flipped)
        with pytest.raises(CorpusError, match=r"Add the corpus again|add the text again"):
            read(corpus)
        if ending != ".documents.npy":
            damaged.write_bytes(whole)
    assert "Damage was found, and the corpus made again. The documents of" in added(files, files.text)
    assert damaged.read_bytes() == whole and Corpus.objects.get().sha256 == corpus.sha256
