"""Hostile files are refused before they run code or cost memory."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from features.engine.confined import listings
from features.engine.model.config import ModelError
from features.engine.model.language_model import load_model
from features.engine.sae.checkpoint import CheckpointError, describe, read_sae
from features.engine.sae.reading import npz as npz_reader
from tests.engine import small
from tests.engine.sae.sae_files import D, H, four, normal, write

DATA = Path(__file__).parents[2] / "data" / "checkpoints"
BARE = {"apply_b_dec_to_input": True}


def saelens(folder, tensors=None, **settings):
    cfg = {"d_in": D, "d_sae": H, "architecture": "standard"} | settings
    return write(folder, "sae_weights.safetensors", four() if tensors is None else tensors, cfg=cfg).parent


def refused(path, words, answers=BARE, **options):
    """Reading and describing both refuse, in the same words."""
    with pytest.raises(CheckpointError, match=words):
        read_sae(path, answers=answers, **options)
    with pytest.raises(CheckpointError, match=words):
        describe(path, answers=answers, **options)


@pytest.fixture
def quiet_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["weights.pt", "ae.pt", "weights.npz", "weights.safetensors", "weights.bin"])
def test_a_hostile_pickle_is_refused_and_does_not_run(quiet_place, name):
    shutil.copy(DATA / "hostile_pickle.pt", quiet_place / name)
    refused(quiet_place / name, "would run posix.system|cut short")
    refused(quiet_place, "would run posix.system|cut short")
    assert not list(quiet_place.glob("**/HOSTILE_PICKLE_RAN"))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch HOSTILE_PICKLE_RAN",)


@pytest.mark.parametrize("new", [True, False])
def test_a_hostile_object_beside_good_weights_does_not_run(quiet_place, new):
    state = {"cfg": Hostile(), "state_dict": four()}
    torch.save(state, quiet_place / "a.pt", _use_new_zipfile_serialization=new)
    refused(quiet_place / "a.pt", "would run")
    assert not (quiet_place / "HOSTILE_PICKLE_RAN").exists()


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.pkl.gz", "a.pt.gz"])
def test_bare_pickles_are_refused_by_name(quiet_place, name):
    content = pickle.dumps(Hostile())
    (quiet_place / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    refused(quiet_place / name, "pickle, which can run code")
    refused(quiet_place, "pickle, which can run code")
    assert not (quiet_place / "HOSTILE_PICKLE_RAN").exists()


def test_a_gzip_under_another_name_is_refused(quiet_place):
    (quiet_place / "a.pt").write_bytes(gzip.compress(pickle.dumps(Hostile())))
    refused(quiet_place / "a.pt", "gzip-compressed")


def test_a_trainer_state_is_refused_and_passed_over_in_a_folder(tmp_path):
    folder = saelens(tmp_path)
    write(tmp_path, "trainer_state.pt", {"optimizer": {}})
    refused(folder / "trainer_state.pt", "the trainer's state")
    assert read_sae(folder).config.d_in == D


def test_a_whole_module_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(torch.nn.Linear(D, H), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "would run .*torch.nn.modules.linear.Linear")


def test_a_file_that_holds_no_dict_is_refused(tmp_path):
    torch.save(normal(D, H), tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "holds a Tensor, not a dict")


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4096, 1024), dtype=np.float32))
    path = npz(tmp_path / "params.npz", W_enc=buffer.getvalue())
    assert path.stat().st_size < 2**16
    refused(path, "unpacks to 16.0 MiB, more than the 1.0 MiB allowed", max_bytes=2**20)


def test_an_npz_member_that_claims_more_than_it_has_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (2**20, 2**10)})
    refused(
        npz(tmp_path / "params.npz", W_enc=buffer.getvalue()),
        "claims 4,294,967,296 bytes of numbers and has 128",
    )


def test_an_npz_of_objects_is_refused_and_does_not_run(quiet_place):
    np.savez(quiet_place / "params.npz", W_enc=np.array([Hostile()], dtype=object))
    refused(quiet_place / "params.npz", "Python objects, which can run code")
    assert not (quiet_place / "HOSTILE_PICKLE_RAN").exists()


def test_a_compressed_pt_is_refused(tmp_path):
    path = write(tmp_path, "a.pt", four())
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    refused(tmp_path / "b.pt", "compressed inside")


def test_a_small_file_cannot_ask_for_much_memory(tmp_path):
    tensors = four() | {
        "W_enc": torch.zeros(1).expand(2**20, 2**20),
        "W_dec": torch.zeros(1).expand(2**20, 2**20),
    }
    path = write(tmp_path, "a.pt", tensors | {"b_enc": torch.zeros(1).expand(2**20), "b_dec": torch.zeros(2**20)})
    assert path.stat().st_size < 2**23
    refused(path, "weights take 8.0 TiB as float32, more than the 64.0 GiB allowed")


def test_a_number_that_is_said_again_and_again_is_no_weight(tmp_path):
    wide = four() | {"W_enc": torch.zeros(1).expand(2**11, 2**12), "W_dec": torch.zeros(1).expand(2**12, 2**11)}
    path = write(tmp_path, "a.pt", wide | {"b_enc": torch.zeros(1).expand(2**12), "b_dec": torch.zeros(2**11)})
    refused(path, "W_enc claims 2,048 x 4,096 numbers, and the file holds 4 bytes of them")


def test_an_archive_that_is_packed_better_than_weights_can_be_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_reader, "SPARE", 0)
    np.savez_compressed(tmp_path / "a.npz", W_enc=np.zeros((256, 512), np.float32))
    refused(tmp_path / "a.npz", "and unpacks to 512.1 KiB, more than 20 times as much")


def test_the_size_limit_can_be_set(tmp_path):
    folder = saelens(tmp_path)
    assert read_sae(folder, max_bytes=2**20).config.d_in == D
    half = saelens(tmp_path / "half", {name: tensor.half() for name, tensor in four().items()})
    refused(half, "weights take 1.7 KiB as float32, more than the 1.5 KiB allowed", answers={}, max_bytes=1536)
    write(tmp_path / "b", "a.pt", four() | {"optimizer": {"state": normal(1024)}})
    refused(tmp_path / "b", "a.pt has 7.* KiB, more than the 2.0 KiB allowed", max_bytes=2048)


def test_sparse_tensors_are_refused(tmp_path):
    path = write(tmp_path, "a.pt", four() | {"W_enc": normal(D, H).to_sparse()})
    refused(path, "W_enc sparse or quantised")


def test_a_config_of_many_megabytes_is_not_parsed(tmp_path):
    folder = saelens(tmp_path)
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "pad": "x" * 2**25}))
    refused(folder, "a config has at most")


def long_safetensors(path, size):
    """All header, and sparse: nothing of it is parsed."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", size) + b"{")
        file.truncate(8 + size)
    return path


def long_zip(path, size, twin):
    """A member, and end records that speak of a directory of `size` bytes; 64 bits of it in their twin."""
    file = zipfile.ZipFile(path, "w")
    file.writestr("W_enc.npy", b"x")
    file.close()
    own = bytearray(path.read_bytes())
    if twin:
        at, end = len(own) - 22, own[-22:]
        end[12:16] = b"\xff" * 4
        record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, size, 0)
        own = own[:at] + record + b"PK\6\7" + struct.pack("<IQI", 0, at, 1) + end
    else:
        own[-10:-6] = struct.pack("<I", size)
    path.write_bytes(own)
    return path


@pytest.mark.parametrize("name", ["a.safetensors", "params.npz", "a.pt"])
def test_a_list_of_tensors_that_is_too_long_is_refused_before_it_is_taken_apart(tmp_path, monkeypatch, name):
    long = listings.LONGEST + 1
    path = tmp_path / name
    if name == "a.safetensors":
        refused(long_safetensors(path, long), "list of tensors alone has 8.0 MiB, and at most 8.0 MiB")
        return
    refused(long_zip(path, long, twin=False), "its list of tensors alone has 8.0 MiB")
    refused(long_zip(path, 1 << 40, twin=True), "its list of tensors alone has 1.0 TiB")
    path.write_bytes(path.read_bytes() + b"no comment")  # some readers take it for one all the same
    with pytest.raises(ValueError, match="1.0 TiB"):
        listings.refuse_long(path)


def test_a_header_longer_than_its_file_is_damage(tmp_path):
    path = write(tmp_path, "a.safetensors", four())
    path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])
    refused(path, "cut short or damaged")


def test_a_language_model_s_list_of_tensors_has_the_same_bound(tmp_path):
    small.write_model(tmp_path / "m", 1)
    load_model(tmp_path / "m", "cpu")
    with pytest.raises(ModelError, match="model.safetensors: its list of tensors alone has 8.0 MiB"):
        load_model(long_safetensors(tmp_path / "m" / "model.safetensors", listings.LONGEST + 1).parent, "cpu")
