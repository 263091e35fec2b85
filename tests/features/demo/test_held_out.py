"""Are rows packed as promised, and is held-out text really left out?"""

import lzma

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from features.demo.making import held_out, texts, tokenizer
from features.demo.making.tokenizer import BOS, EOS


def test_a_row_is_bos_and_the_documents_go_on_from_row_to_row(folder, vocabulary, token_rows):
    assert token_rows.dtype == np.uint16 and (token_rows[:, 0] == BOS).all()
    stream = [i for text in texts.documents(folder) for i in [*vocabulary.ids(text, bos=False), EOS]]
    flat = token_rows[:, 1:].ravel()
    assert flat.tolist() == stream[: len(flat)] and len(stream) - len(flat) < 23


def test_every_kind_of_file_is_read(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    packed = tmp_path / "a.jsonl.xz"
    packed.write_bytes(lzma.compress((tmp_path / "a.jsonl").read_bytes()))
    (tmp_path / "a.jsonl").unlink()
    assert list(texts.documents(tmp_path)) == list(texts.documents(folder))
    assert len(list(texts.documents(folder))) == 600


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
    ids = [i for text in texts.documents(folder) for i in vocabulary.ids(text, bos=False)][:2400]
    ours = np.pad(np.array(ids[:2300], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    others = np.pad(np.array(ids[11 : 11 + 46], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    found = held_out.overlapping(ours, others, window=8, batch=7)
    assert found.tolist() == [any(shared(r, o, 8) for o in others) for r in ours]
    assert found[0] and found[1] and found[2] and not found.all()


def test_held_out_rows_are_left_out_and_the_rest_is_all_there(token_rows):
    others = token_rows[::40]
    trained_on = held_out.training_rows(token_rows, others, seed=1)
    kept = token_rows[~held_out.overlapping(token_rows, others)]
    assert len(trained_on) == len(kept) < len(token_rows)
    assert sorted(map(bytes, trained_on)) == sorted(map(bytes, kept))
    assert not held_out.overlapping(trained_on, others).any()
