"""A file or folder has its name when all of it is on disk, and not before."""

import os
from pathlib import Path

import pytest

from features.engine.files import whole_file, whole_folder


def test_a_file_keeps_its_old_content_until_all_of_the_new_is_written(tmp_path):
    path = tmp_path / "deep" / "rows.npy"
    for content in ("old", "new"):
        with whole_file(path) as unfinished:
            unfinished.write_text(content)
            assert not path.exists() if content == "old" else path.read_text() == "old"
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("writing", [whole_file, whole_folder])
def test_what_was_interrupted_leaves_nothing(tmp_path, writing):
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "half") as unfinished:
        (unfinished if writing is whole_file else unfinished / "first").write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_every_file_is_on_disk_before_the_folder_gets_its_name_and_the_name_after_it(tmp_path, monkeypatch):
    happened, replace = [], Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: happened.append(os.fstat(number).st_ino))
    monkeypatch.setattr(Path, "replace", lambda self, to: happened.append(to.name) or replace(self, to))
    with whole_folder(tmp_path / "shard-0") as unfinished:
        (unfinished / "inner").mkdir()
        for name in ("a.npy", "inner/b.npy"):
            (unfinished / name).write_bytes(b"1")
    folder = tmp_path / "shard-0"
    files = {path.stat().st_ino for path in (folder, *folder.rglob("*"))}
    assert set(happened[:4]) == files and happened[4:] == ["shard-0", tmp_path.stat().st_ino]
