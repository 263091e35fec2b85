"""Text comes as files and folders of several kinds; what is none is refused with the way out."""

import gzip
import json
import sys

import numpy as np
import pytest

from features.engine.corpus import documents, token_rows
from features.engine.model.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(small_folder):
    return Vocabulary.load(small_folder / "model")


def lines(*texts):
    return "".join(json.dumps({"text": text, "id": n}) + "\n" for n, text in enumerate(texts))


def test_a_file_of_each_kind_gives_its_documents(tmp_path):
    (tmp_path / "a.txt").write_text("one<|endoftext|>two")
    (tmp_path / "b.jsonl").write_text(lines("three", "fo\nur") + "\n")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines("five").encode()))
    (tmp_path / "README.md").write_text("not text of the corpus")
    assert documents.read_documents(tmp_path / "a.txt") == ["one", "two"]
    assert documents.read_documents(tmp_path / "b.jsonl") == ["three", "fo\nur"]
    assert documents.read_documents(tmp_path) == ["one", "two", "three", "fo\nur", "five"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"content": "x"}\n', r'line 1, has no "text" \(it has: content\)'),
        ("a.jsonl", b'{"text": "x"}\n{"te', "line 2, is no JSON.*Copy it again"),
        ("a.jsonl.gz", gzip.compress(lines("long" * 99).encode(), mtime=0)[:-9], "cut short or damaged"),
        ("a.txt", b"caf\xe9 ", "no UTF-8 text .byte 3"),
        ("a.csv", b"a,b", "ends in none of .txt, .jsonl, .jsonl.gz, .parquet"),
        ("a.txt", b"  \n", "1 files, 0 documents"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(token_rows.CorpusError, match=says):
        documents.read_documents(tmp_path / name)


def test_a_gzip_bomb_is_refused_at_the_limit(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(*["x" * 10_000] * 100).encode()))
    with pytest.raises(token_rows.CorpusError, match="more than 50,000 characters.*as .npy"):
        documents.read_documents(tmp_path / "a.jsonl.gz", max_bytes=50_000)


def test_ids_in_rows_stay_and_one_sequence_is_cut(tmp_path, vocabulary):
    ids = np.arange(3, 35)
    np.save(tmp_path / "one.npy", ids)
    np.save(tmp_path / "rows.npy", ids.reshape(4, 8).astype(np.int32))
    cut = token_rows.rows_from_ids(tmp_path / "one.npy", vocabulary, length=10)
    assert cut.dtype == np.uint16 and cut.tolist() == ids[:30].reshape(3, 10).tolist()
    rows = token_rows.rows_from_ids(tmp_path / "rows.npy", vocabulary, length=10)
    assert rows.shape == (4, 8) and not token_rows.starts_with_bos(rows, vocabulary)
    rows[:, 0] = vocabulary.bos_id
    assert token_rows.starts_with_bos(rows, vocabulary)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (np.array([[3, 9999]]), r"ids from 3 to 9,999; this tokenizer has 0 to \d+\. Was it made with another"),
        (np.array([-1, 5]), "ids from -1 to 5"),
        (np.zeros((2, 2)), "float64 of shape"),
        (np.arange(3), "has 3 ids; one row needs 8"),
        (np.array([["a"]], dtype=object), "Cannot read token ids"),
    ],
)
def test_ids_that_do_not_fit_name_both_numbers(tmp_path, vocabulary, ids, says):
    np.save(tmp_path / "ids.npy", ids, allow_pickle=True)
    with pytest.raises(token_rows.CorpusError, match=says):
        token_rows.rows_from_ids(tmp_path / "ids.npy", vocabulary, length=8)


def test_without_a_reader_of_parquet_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "features.engine.corpus.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(token_rows.CorpusError, match="parquet is not read here .*Convert it to .jsonl"):
        documents.read_documents(tmp_path / "a.parquet")
