"""Are rows packed as promised, and is really left out what was seen before, is shown, or measured on?"""

import lzma

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from features.demo.making.text import documents, overlap, passes, selection, tokenizer
from features.demo.making.text.tokenizer import BOS, EOS


def test_a_row_is_bos_and_the_documents_go_on_from_row_to_row(folder, vocabulary, token_rows):
    assert token_rows.dtype == np.uint16 and (token_rows[:, 0] == BOS).all()
    stream = [i for text in documents.documents(folder) for i in [*vocabulary.ids(text, bos=False), EOS]]
    flat = token_rows[:, 1:].ravel()
    assert flat.tolist() == stream[: len(flat)] and len(stream) - len(flat) < 23


def test_every_kind_of_file_is_read(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    packed = tmp_path / "a.jsonl.xz"
    packed.write_bytes(lzma.compress((tmp_path / "a.jsonl").read_bytes()))
    (tmp_path / "a.jsonl").unlink()
    assert list(documents.documents(tmp_path)) == list(documents.documents(folder))
    assert len(list(documents.documents(folder))) == 600


def test_digits_stand_alone(vocabulary):
    assert vocabulary.tokenizer.encode("1984").tokens == ["1", "9", "8", "4"]


def test_a_tokenizer_with_other_special_ids_is_refused_with_them(tmp_path):
    tokenizer.write(tmp_path, Tokenizer(models.BPE({"<|EOS|>": 0, "<|BOS|>": 1, "<|PAD|>": 2}, [])))
    with pytest.raises(ValueError, match=r"the ids \[1, 0, 2\]; the demo needs \[0, 1, 2\]"):
        tokenizer.read(tmp_path)


def shared(row, other, window):
    """The slow, obvious way."""
    runs = {tuple(other[i : i + window]) for i in range(1, len(other) - window + 1)}
    return any(tuple(row[i : i + window]) in runs for i in range(1, len(row) - window + 1))


def test_overlap_is_found_wherever_the_rows_were_cut(vocabulary, folder):
    ids = [i for text in documents.documents(folder) for i in vocabulary.ids(text, bos=False)][:2400]
    ours = np.pad(np.array(ids[:2300], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    others = np.pad(np.array(ids[11 : 11 + 46], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    found = overlap.overlapping(ours, others, window=8, batch=7)
    assert found.tolist() == [any(shared(r, o, 8) for o in others) for r in ours]
    assert found[0] and found[1] and found[2] and not found.all()


def test_held_out_rows_are_left_out_and_the_rest_is_all_there(token_rows):
    others = token_rows[::40]
    trained_on = overlap.training_rows(token_rows, others, seed=1)
    kept = token_rows[~overlap.overlapping(token_rows, others)]
    assert len(trained_on) == len(kept) < len(token_rows)
    assert sorted(map(bytes, trained_on)) == sorted(map(bytes, kept))
    assert not overlap.overlapping(trained_on, others).any()


def test_a_row_that_says_again_what_rows_before_it_said_is_a_repeat():
    rows = np.arange(4 * 24).reshape(4, 24)
    rows[2, 1:20], rows[3, 1:10] = rows[0, 5:24], rows[0, 1:10]  # most of a row, cut elsewhere; less than half
    assert overlap.repeats(rows, window=4).tolist() == [False, False, True, False]
    assert overlap.repeats(rows[::-1], window=4).tolist() == [False, False, False, True]


def test_each_text_is_trained_on_once_less_the_passages_that_are_shown(vocabulary, folder):
    texts = list(documents.documents(folder))[:40]
    ids = [list(i) for i in vocabulary.many_ids(texts)]
    passage = texts[7][10 : texts[7].index(" ", 75)]  # may be cut where its first token begins otherwise
    named = [("a", text) for text in texts] + [("b", "\n" + texts[3] + " "), ("b", "of the cat"), ("c", passage)]
    chosen = selection.select(named, [passage, "the cat"], vocabulary)

    known = set(runs(vocabulary.ids(passage, bos=False)))
    found = [list(i) for i in chosen.documents]
    assert [*found[:7], *found[8:]] == [*ids[:7], *ids[8:], vocabulary.ids("of the cat", bos=False)]
    inside = {t for i, run in enumerate(runs(ids[7])) if run in known for t in range(i, i + 16)}
    assert found[7] == [token for t, token in enumerate(ids[7]) if t not in inside] and len(inside) >= 16
    size, small = sum(map(len, ids)), len(vocabulary.ids("of the cat", bos=False))
    assert chosen.table()["a"] == [40, sum(map(len, texts)), 0, 0, size, size - len(inside)]
    assert chosen.table()["b"] == [2, len(texts[3]) + 2 + 10, 1, 0, small, small]
    assert chosen.table()["c"] == [1, len(passage), 0, 1, len(vocabulary.ids(passage, bos=False)), 0]


def test_no_shown_passage_is_made_where_two_ends_meet():
    ids, shown = np.array([1, 2, 3, 1, 2, 3, 4, 5, 4, 9]), [[1, 2, 3, 4], [3, 4, 5]]
    known = overlap.known_passages(shown, window=3)
    # 1 2 3, 1 2 3, 2 3 4 and 3 4 5 go at once.
    assert overlap.without(ids, known, window=3).tolist() == [4, 9]
    nested = np.array([7, 1, 1, 2, 3, 2, 3, 8])
    assert overlap.without(nested, known, window=3).tolist() == [7, 8]


def runs(ids):
    return [tuple(ids[i : i + 16]) for i in range(len(ids) - 15)]


def test_every_pass_reads_each_row_once_in_an_order_of_its_own():
    read = passes.row_numbers(0, 300, 100, seed=3).reshape(3, 100)
    assert (read[0] == np.arange(100)).all() and (np.sort(read, 1) == np.arange(100)).all()
    assert len(np.unique(read, axis=0)) == 3
    assert passes.row_numbers(95, 110, 100, seed=3).tolist() == read.ravel()[95:205].tolist()


def test_a_source_that_is_left_out_has_to_be_there():
    named = [("a", "one"), ("b", "two"), ("a", "three")]
    assert selection.less(named, ("a",)) == [("b", "two")] and selection.less(named, ()) == named
    with pytest.raises(ValueError, match="no source c; it has a, b"):
        selection.less(named, ("b", "c"))
