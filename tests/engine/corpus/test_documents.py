"""Text comes as files and folders of several kinds; what is none is refused with the way out."""

import bz2
import gzip
import json
import lzma
import sys
from dataclasses import replace

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from features.engine.corpus.documents import read_documents
from features.engine.corpus.errors import CorpusError
from features.engine.corpus.text_field import TextField
from features.engine.corpus.unpacking import pieces_of


def lines(*texts):
    return "".join(json.dumps({"text": text, "id": n}) + "\n" for n, text in enumerate(texts))


def put(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, arrow.Table):
        parquet.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


def texts(path, **asked):
    return read_documents(path, text=TextField(**asked)).texts


def zstandard(content):
    out = arrow.BufferOutputStream()
    with arrow.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def test_a_file_of_each_kind_gives_its_documents(tmp_path):
    put(tmp_path, "a.txt", "one<|endoftext|>two")
    put(tmp_path, "b.jsonl", lines("three", "fo\nur") + "\n")
    put(tmp_path, "c.jsonl.gz", gzip.compress(lines("five").encode()))
    put(tmp_path, "d.jsonl.zst", zstandard(lines("six").encode()))
    put(tmp_path, "e.txt.bz2", bz2.compress(b"seven"))
    put(tmp_path, "f.ndjson.xz", lzma.compress(b'"eight"'))
    put(tmp_path, "inner/g.parquet", arrow.table({"text": ["nine"]}))
    put(tmp_path, ".hidden/h.txt", "hidden")
    put(tmp_path, "README.md", "not text of the corpus")
    put(tmp_path, "settings.json", "{}")
    found = read_documents(tmp_path)
    assert found.texts == ["one", "two", "three", "fo\nur", "five", "six", "seven", "eight", "nine"]
    assert "1 files" in found.notes[0] and "are left out. Name one to read it" in found.notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("array.json", json.dumps([{"text": "one"}, {"text": "two"}])),
        ("data.json", json.dumps({"version": 1, "data": [{"text": "one"}, "two"]})),
        ("lines.json", lines("one", "two")),
        ("table.csv", 'id,text\r\n1,"one"\r\n2,two\r\n'),
        ("table.csv", "id;text\n1;one\n2;two"),
        ("table.tsv", "text\tid\none\t1\ntwo\t2\n"),
        ("column.csv", "content\none\ntwo\n"),
        ("category.parquet", arrow.table({"text": arrow.array(["one", "two"]).dictionary_encode(), "id": ["x", "y"]})),
        ("view.parquet", arrow.table({"text": arrow.array(["one", "two"], arrow.string_view()), "id": ["x", "y"]})),
        ("bytes.parquet", arrow.table({"text": [b"one", b"two"], "url": ["x", "y"]})),
        ("only.parquet", arrow.table({"content": ["one", "two"]})),
    ],
)
def test_every_form_of_rows_gives_the_same_documents(tmp_path, name, content):
    assert texts(put(tmp_path, name, content)) == ["one", "two"]


def test_a_field_is_taken_where_it_is_named(tmp_path):
    rows = [{"id": n, "meta": {"body": text, "from": "web"}} for n, text in enumerate(("one", "two"))]
    files = [
        put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))),
        put(tmp_path, "b.parquet", arrow.Table.from_pylist(rows)),
    ]
    for file in files:
        assert texts(file, name="meta.body") == ["one", "two"]
        found = read_documents(file, text=TextField("meta.body"), kinds_by="meta.from")
        assert found.kind_names == ["web"] and found.kinds == [0, 0]
    assert texts(put(tmp_path, "c.csv", "id,content\n1,one\n"), name="content") == ["one"]


def test_odd_rows_are_skipped_or_mended_and_counted(tmp_path):
    rows = [{"text": "one"}, {"text": None}, {"text": ""}, {"id": 3}, None, {"text": "cut \ud83d"}]
    found = read_documents(put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))))
    assert found.texts == ["one", "cut \ufffd"]
    assert [note.split(" of ")[0] for note in found.notes] == ["2 rows", "1 rows", "1 rows", "1 texts"]
    assert found.notes[0].endswith("have no text (null) and were skipped.")
    assert found.numbers == [0, 5] or found.numbers[0] == 0
    column = arrow.table({"text": ["one", None]})
    assert "1 rows of" in read_documents(put(tmp_path, "b.parquet", column)).notes[0]


def test_byte_order_marks_and_windows_line_ends_are_read_as_what_they_are(tmp_path):
    plain, marked = "one\r\ntwo\r\n<|endoftext|>three", b"\xef\xbb\xbf"
    found = read_documents(put(tmp_path, "a.txt", marked + plain.encode() + b"<|endoftext|>\n" + marked + b"four"))
    assert found.texts == ["one\ntwo", "three", "four"]
    assert any("2 byte-order marks" in note for note in found.notes) and any("CRLF" in note for note in found.notes)
    for name, packed in (("b.jsonl", bytes), ("c.jsonl.gz", gzip.compress)):
        assert texts(put(tmp_path, name, packed(marked + lines("one", "two").encode()))) == ["one", "two"]
    assert texts(put(tmp_path, "d.csv", marked + b"text\r\none\r\n")) == ["one"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"content": "x"}\n', r'line 1, has no "text" \(it has: content\).*--field content'),
        ("a.jsonl", '{"text": "x"}\n{"te', "line 2, is no JSON.*Copy it again"),
        ("a.jsonl", '{"text": 3}', 'line 1: "text" is a number'),
        ("a.jsonl", "[1]", "line 1 is a list"),
        ("a.jsonl", '{"text": ["a", "b"]}', '"text" is a list'),
        ("a.jsonl.gz", gzip.compress(lines("long" * 99).encode(), mtime=0)[:-9], "cut short or damaged"),
        ("a.jsonl.zst", zstandard(lines("long" * 99).encode())[:-5], "cut short or damaged"),
        ("a.txt.xz", b"no xz", "cut short or damaged"),
        ("a.txt", b"caf\xe9 ", r"no UTF-8 text .byte 3 is 0xe9.*iconv -f WINDOWS-1252 -t UTF-8 \S*a.txt > \S*utf8.txt"),
        ("a.txt", b"x" * (1 << 20) + b"\xe9 ", "byte 1,048,576 is 0xe9"),
        ("a.txt.gz", gzip.compress(b"caf\xe9 ", mtime=0), r"gzip -dc \S*a.txt.gz | iconv -f WINDOWS-1252"),
        ("a.txt", "café".encode()[:-1], r"ends within a character \(byte 3\)"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16"), "is UTF-16 text. Convert it: iconv -f UTF-16 -t UTF-8"),
        ("a.txt", "no mark".encode("utf-16-le"), "iconv -f UTF-16LE"),
        ("a.txt", "x".encode("utf-32"), "iconv -f UTF-32"),
        ("a.docx", b"a,b", "ends in none of .txt, .jsonl, .ndjson, .json, .csv, .tsv, .parquet, .arrow"),
        ("a.txt", b"  \n", "1 files, 0 documents"),
        ("a.json", '{"a": 1, "b": 2}', "an array of rows is needed. Make one: jq -c"),
        ("a.json", "[1, 2", "is no JSON"),
        ("a.csv", "id,content\n1,x", r'2 columns and none called "text" \(it has: id, content\).*--field'),
        ("a.csv", 'text\n"never closed\n', "Is a quote missing"),
        ("a.csv", "text\nx,y\n", "line 2, has 2 cells, its head names 1"),
        ("a.parquet", b"PAR1 and no more", "no whole parquet"),
        ("a.parquet", arrow.table({"text": [["a"]], "lang": ["en"]}), r'"text" is list<.*>, and text is needed'),
        ("a.parquet", arrow.table({"content": ["x"], "url": ["y"]}), r"2 columns of text.*--field content"),
        ("a.parquet", arrow.table({"input_ids": [[1, 2]], "source": ["web"]}), "1 columns of text.*--field source"),
        ("a.parquet", arrow.table({"input_ids": [[1, 2]]}), "Token ids are read from .npy"),
        ("a.parquet", arrow.table({"text": [b"caf\xe9"]}), 'row 1: the bytes of "text" are no UTF-8'),
        ("a.parquet", arrow.table({"text": arrow.array([], arrow.string())}), "0 documents"),
        ("a.arrow", b"no arrow at all", "no whole Arrow"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(tmp_path, name, content, says):
    with pytest.raises(CorpusError, match=says):
        read_documents(put(tmp_path, name, content))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(lines(*["x" * 10_000] * 100).encode(), mtime=0)),
        ("one_line.jsonl.gz", gzip.compress(b'{"text": "' + b"x" * 5_000_000, mtime=0)),  # the line never ends
        ("a.json.xz", lzma.compress(b" " * 5_000_000)),
        ("a.parquet", arrow.table({"text": ["x" * 60_000, "y"]})),
        ("b.parquet", arrow.table({"text": arrow.array(["x" * 10_000] * 100).dictionary_encode()})),
    ],
)
def test_a_bomb_is_refused_at_the_limit(tmp_path, name, content):
    with pytest.raises(CorpusError, match="more than (50|400),000 |at most 50,000"):
        read_documents(put(tmp_path, name, content), max_bytes=50_000)


def test_pieces_are_whole_however_they_come():
    text = "a" * 30 + "<|end|>" + "b<|e" + "<|end|><|end|>" + "c<|end"
    for size in (1, 2, 3, 7, 100):
        chunks = (text[n : n + size] for n in range(0, len(text), size))
        assert list(pieces_of(chunks, "<|end|>", "a.txt")) == text.split("<|end|>")
    with pytest.raises(CorpusError, match="more than 20 characters in one piece"):
        list(pieces_of(iter("a" * 30), "<|end|>", "a.txt", 20))


@pytest.mark.parametrize("stream", [True, False])
def test_a_folder_that_datasets_saved_is_read_by_its_own_list(tmp_path, stream):
    table = arrow.table({"text": ["one", "two"]})
    folder = tmp_path / "saved" / "train"
    folder.mkdir(parents=True)
    opened = arrow.ipc.new_stream if stream else arrow.ipc.new_file
    with opened(str(folder / "data-0.arrow"), table.schema) as out:
        out.write_table(table)
    put(folder, "state.json", json.dumps({"_data_files": [{"filename": "data-0.arrow"}]}))
    put(tmp_path / "saved", "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    found = read_documents(tmp_path / "saved")
    assert found.texts == ["one", "two"] and "train is read" in found.notes[0]
    put(folder, "state.json", json.dumps({"_data_files": [{"filename": "data-1.arrow"}]}))
    with pytest.raises(CorpusError, match="lacks data-1.arrow"):
        read_documents(folder)


def test_chats_are_written_by_the_template_and_refused_without_one(tmp_path):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    shared = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
    asked = TextField(chat=lambda messages: "".join(f"<{m['role']}>{m['content']}" for m in messages))
    files = [
        put(tmp_path, "a.jsonl", json.dumps({"messages": turns})),
        put(tmp_path, "b.parquet", arrow.table({"messages": [turns]})),
        put(tmp_path, "c.jsonl", json.dumps({"conversations": shared})),
    ]
    for file in files:
        found = read_documents(file, text=asked)
        assert found.texts == ["<user>hi<assistant>ho"] and found.special
    with pytest.raises(CorpusError, match="no chat template"):
        read_documents(files[0], text=replace(asked, chat=None))
    with pytest.raises(CorpusError, match='a message has no "content"'):
        read_documents(put(tmp_path, "d.jsonl", json.dumps({"messages": [{"role": "user"}]})), text=asked)


def test_a_kind_is_the_folder_the_file_or_a_field(tmp_path):
    for name in ("wiki/a-00000-of-00002.txt", "wiki/a-00001-of-00002.txt", "code/b.txt"):
        put(tmp_path, name, name)
    assert read_documents(tmp_path).kind_names == ["wiki", "code"]
    assert read_documents(tmp_path, kinds_by="file").kind_names == ["a", "b"]
    assert read_documents(tmp_path / "wiki").kind_names == ["a"]
    rows = [{"text": "x", "lang": "en"}, {"text": "y", "lang": "de"}, {"text": "z", "lang": "de"}, {"text": "w"}]
    file = put(tmp_path, "c.jsonl", "\n".join(map(json.dumps, rows)))
    found = read_documents(file, kinds_by="lang")
    assert found.kind_names == ["de", "en", "none"] and found.kinds == [1, 0, 0, 2]
    with pytest.raises(CorpusError, match='No row of .* has "topic"'):
        read_documents(file, kinds_by="topic")


def test_copies_of_a_document_are_told(tmp_path):
    found = read_documents(put(tmp_path, "a.jsonl", lines(*["the same"] * 30, *map(str, range(10)))))
    assert len(found) == 40 and "29 of 40 documents are copies" in found.notes[0] and "30 times" in found.notes[0]


def test_documents_are_shuffled_the_same_each_time_with_what_belongs_to_them(tmp_path):
    put(tmp_path, "b.txt", "three")
    put(tmp_path, "a.txt", "one\n<|endoftext|>\ntwo\n<|endoftext|>\n")
    found = read_documents(tmp_path)
    mixed = found.shuffled(1)
    rows = lambda d: list(zip(d.texts, d.sources, d.numbers, d.kinds, strict=True))  # noqa: E731
    assert found.texts == ["one", "two", "three"] and found.files == ["a.txt", "b.txt"]
    assert rows(mixed) == rows(found.shuffled(1)) != rows(found) and sorted(rows(mixed)) == sorted(rows(found))


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="0 documents"):
        read_documents(tmp_path)


def test_without_a_reader_of_parquet_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.delattr("features.engine.corpus.columns", raising=False)
    monkeypatch.setitem(sys.modules, "features.engine.corpus.columns", None)
    with pytest.raises(CorpusError, match="parquet is not read here .*Convert it to .jsonl"):
        read_documents(put(tmp_path, "a.parquet", b"PAR1"))
