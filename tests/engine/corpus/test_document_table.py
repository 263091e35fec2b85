"""Each token knows its document, beside the rows and without their text."""

import json

import numpy as np
import pytest

from features.engine.corpus import document_table, token_rows
from features.engine.corpus.documents import Documents
from features.engine.corpus.errors import CorpusError
from features.engine.model.vocabulary import Vocabulary

TEXTS = ["the win", "in", "the wind in the win", "w"]


@pytest.fixture(scope="module")
def vocabulary(small_folder):
    return Vocabulary.load(small_folder / "model")


@pytest.fixture(params=[True, False])
def built(request, vocabulary):
    documents = Documents(TEXTS, [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1], ["a", "b"], ["prose", "code"], ["a note"])
    return documents, token_rows.build_corpus(documents, vocabulary, 5, request.param), request.param


def test_documents_begin_where_their_tokens_do(built, vocabulary):
    documents, packed, bos = built
    stream = packed.rows[:, int(bos) :].ravel().tolist()
    ends = np.flatnonzero(np.array(stream) == vocabulary.eos_id)
    for token, place in enumerate(np.arange(packed.rows.size).reshape(packed.rows.shape)[:, int(bos) :].ravel()):
        document = int((ends < token).sum())  # the slow way: EOS in front of it
        assert packed.table.documents_of([place]) == [document]
        assert packed.table.kinds_of([place]) == [documents.kinds[document]]
    assert packed.table.entries["number"].tolist() == documents.numbers[: len(packed.table)]


def test_the_starts_can_be_read_off_rows_that_are_there(built, vocabulary):
    documents, packed, bos = built
    starts = document_table.starts_after_eos(packed.rows, vocabulary.eos_id, bos)
    again = document_table.DocumentTable.of(documents, starts[: len(TEXTS)], packed.rows.size)
    np.testing.assert_array_equal(again.entries, packed.table.entries)


def test_a_table_opens_as_it_was_and_only_beside_its_rows(built, tmp_path):
    _, packed, _ = built
    path = tmp_path / "rows.npy"
    digest = token_rows.save_rows(path, packed.rows)
    assert document_table.open_table(path) is None and document_table.why_not_whole(path) == document_table.NO_TABLE
    packed.table.save(path)
    table = document_table.open_table(path, digest)
    np.testing.assert_array_equal(table.entries, packed.table.entries)
    assert isinstance(table.entries, np.memmap) and table.notes == ("a note",)
    assert sum(table.tokens_by_kind().values()) == packed.rows.size - packed.table.entries["start"][0]
    kinds = table.kinds_of(np.arange(packed.rows.size))
    assert np.bincount(kinds[kinds >= 0], minlength=2).tolist() == [*table.tokens_by_kind().values()]
    with pytest.raises(CorpusError, match="of other rows"):
        document_table.open_table(path, "another")
    names = path.with_name("rows.documents.json")
    names.write_text(json.dumps({"files": []}))
    with pytest.raises(CorpusError, match="Add the corpus again"):
        document_table.open_table(path)
