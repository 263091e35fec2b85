"""Documents become equal rows, in a fixed order, and files that are none are refused."""

import numpy as np
import pytest

from features.engine.collect.shards import plan_shards
from features.engine.corpus import token_rows
from features.engine.files import sha256
from features.engine.model.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary(small_folder):
    return Vocabulary.load(small_folder / "model")


def test_rows_are_the_documents_closed_by_eos_with_bos_in_front(vocabulary):
    rows = token_rows.build_rows(["the win", "in"], vocabulary, length=5)
    ids = [*vocabulary.ids("the win", bos=False), 1, *vocabulary.ids("in", bos=False), 1]
    assert rows.dtype == np.uint16
    assert rows[:, 0].tolist() == [0] * len(rows)
    assert rows[:, 1:].flatten().tolist() == ids[: len(rows) * 4]
    assert len(ids) - len(rows) * 4 < 4


def test_rows_without_bos_are_all_text(vocabulary):
    rows = token_rows.build_rows(["the win in the wind"], vocabulary, length=4, bos=False)
    assert 0 not in rows


def test_many_documents_are_batched_without_losing_any(vocabulary):
    documents = [f"in {n}" for n in range(token_rows.BATCH + 3)]
    rows = token_rows.build_rows(documents, vocabulary, length=3)
    assert (rows == 1).sum() >= len(documents) - 1


def test_less_text_than_a_row_names_both_numbers(vocabulary):
    with pytest.raises(token_rows.CorpusError, match="has 2 tokens; one row needs 99"):
        token_rows.build_rows(["a"], vocabulary, length=100)


def test_saved_rows_open_as_they_were(tmp_path):
    rows = np.arange(12, dtype=np.uint16).reshape(3, 4)
    digest = token_rows.save_rows(tmp_path / "deep" / "rows.npy", rows)
    np.testing.assert_array_equal(token_rows.open_rows(tmp_path / "deep" / "rows.npy"), rows)
    assert digest == sha256(tmp_path / "deep" / "rows.npy")


@pytest.mark.parametrize("damage", ["missing", "cut", "floats"])
def test_files_that_hold_no_rows_are_refused(tmp_path, damage):
    path = tmp_path / "rows.npy"
    if damage == "cut":
        token_rows.save_rows(path, np.zeros((100, 8), np.uint16))
        path.write_bytes(path.read_bytes()[:200])
    if damage == "floats":
        np.save(path, np.zeros((3, 4)))
    with pytest.raises(token_rows.CorpusError):
        token_rows.open_rows(path)


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
        (np.arange(3)[:, None], "rows of 1 token: nothing stands before or after it"),
        (np.array([["a"]], dtype=object), "Cannot read token ids"),
        (np.ones((1, 40_000), int), "Rows of 40,000 tokens: at most 32,768 are read. Make them shorter"),
    ],
)
def test_ids_that_do_not_fit_name_both_numbers(tmp_path, vocabulary, ids, says):
    np.save(tmp_path / "ids.npy", ids, allow_pickle=True)
    with pytest.raises(token_rows.CorpusError, match=says):
        token_rows.rows_from_ids(tmp_path / "ids.npy", vocabulary, length=8)


def test_rows_whose_positions_would_not_be_kept_are_refused(tmp_path, vocabulary):
    np.save(tmp_path / "ids.npy", np.ones(40_000, int))
    says = "Rows of 40,000 tokens: at most 32,768 are read"
    with pytest.raises(token_rows.CorpusError, match=says):
        token_rows.rows_from_ids(tmp_path / "ids.npy", vocabulary, length=40_000)
    with pytest.raises(token_rows.CorpusError, match=says):
        token_rows.build_rows(["a" * 50_000], vocabulary, length=40_000)
    assert token_rows.build_rows(["a" * 50_000], vocabulary, length=2**15).shape == (1, 2**15)


def test_longer_rows_of_an_earlier_version_are_opened_and_not_computed_on(tmp_path):
    token_rows.save_rows(tmp_path / "rows.npy", np.ones((2, 40_000), np.uint16))
    rows = token_rows.open_rows(tmp_path / "rows.npy")
    assert rows.shape == (2, 40_000)
    with pytest.raises(token_rows.CorpusError, match="at most 32,768 are read"):
        plan_shards(rows, tokens=10, bos=False, special=set())
