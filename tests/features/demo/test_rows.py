"""Are rows cut as promised, and is held-out text really left out?"""

import lzma

import numpy as np

from features.demo.making import rows
from features.demo.making.tokenizer import BOS, EOS


def test_a_row_is_bos_and_the_documents_go_on_from_row_to_row(folder, pieces, token_rows):
    assert token_rows.dtype == np.uint16 and (token_rows[:, 0] == BOS).all()
    stream = [i for text in rows.documents(folder) for i in [*pieces.encode(text).ids, EOS]]
    flat = token_rows[:, 1:].ravel()
    assert flat.tolist() == stream[: len(flat)] and len(stream) - len(flat) < 23


def test_every_kind_of_file_is_read(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    packed = tmp_path / "a.jsonl.xz"
    packed.write_bytes(lzma.compress((tmp_path / "a.jsonl").read_bytes()))
    (tmp_path / "a.jsonl").unlink()
    assert list(rows.documents(tmp_path)) == list(rows.documents(folder))
    assert len(list(rows.documents(folder))) == 600


def test_digits_stand_alone(pieces):
    assert pieces.encode("1984").tokens == ["1", "9", "8", "4"]


def shared(row, other, window):
    """The slow, obvious way."""
    runs = {tuple(other[i : i + window]) for i in range(1, len(other) - window + 1)}
    return any(tuple(row[i : i + window]) in runs for i in range(1, len(row) - window + 1))


def test_overlap_is_found_wherever_the_rows_were_cut(pieces, folder):
    ids = [i for text in rows.documents(folder) for i in pieces.encode(text).ids][:2400]
    ours = np.pad(np.array(ids[:2300], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    held_out = np.pad(np.array(ids[11 : 11 + 46], np.uint16).reshape(-1, 23), ((0, 0), (1, 0)))
    found = rows.overlapping(ours, held_out, window=8, batch=7)
    assert found.tolist() == [any(shared(r, o, 8) for o in held_out) for r in ours]
    assert found[0] and found[1] and found[2] and not found.all()


def test_held_out_rows_are_not_written_and_the_rest_is_all_there(token_rows, tmp_path):
    held_out = token_rows[::40]
    count = rows.write(tmp_path / "rows.u16", token_rows, held_out, seed=1)
    written = rows.read(tmp_path / "rows.u16", 24)
    kept = token_rows[~rows.overlapping(token_rows, held_out)]
    assert len(written) == count == len(kept) < len(token_rows)
    assert sorted(map(bytes, written)) == sorted(map(bytes, kept))
    assert not rows.overlapping(written, held_out).any()
