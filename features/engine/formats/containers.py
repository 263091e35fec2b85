"""Which tensors does a weight file hold, of which shape? Names and shapes first, contents on demand."""

import math
import zipfile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from features.engine.formats.errors import CheckpointError
from features.engine.formats.pickles import read_pickle

FLOATS = {
    **dict.fromkeys(("F16", "float16"), "float16"),
    **dict.fromkeys(("BF16", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("F32", "float32"), "float32"),
    **dict.fromkeys(("F64", "float64"), "float64"),
}


class Container:
    """Tensors of one file. `shapes` and `dtypes` by name, `values` all else, `read(name)` a tensor."""

    def __init__(self, shapes, dtypes, read, values=None):
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes = {name: FLOATS.get(dtype, dtype) for name, dtype in dtypes.items()}
        self.values = values or {}
        self.read = read


def open_weights(path, max_bytes) -> Container:
    """Look into a weight file of at most `max_bytes`, by its first bytes rather than by its extension."""
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(
            f"{path} has {size / 2**30:.1f} GiB, more than the {max_bytes / 2**30:.1f} GiB allowed. "
            "Raise the limit (max_bytes) if the machine has the memory."
        )
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:9] == b"{":  # eight bytes of header length, then JSON
        return _safetensors(path)
    if start[:2] == b"\x1f\x8b":
        raise CheckpointError(
            f"{path} is gzip-compressed, most likely a pickle, which can run code. Not loaded."
        )
    if zipfile.is_zipfile(path) and _is_npz(path):
        return _npz(path, max_bytes)
    if path.suffix == ".npz" or path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} ({size:,} bytes) is cut short or no {path.suffix} file. Copy it again."
        )
    return _pickle(path)


def _safetensors(path):
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            shapes = {name: part.get_shape() for name, part in slices.items()}
            dtypes = {name: part.get_dtype() for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"{path} ({size:,} bytes) is cut short or damaged: {error}. Download or copy it again."
        ) from error

    def read(name):
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)

    return Container(shapes, dtypes, read)


def _pickle(path):
    tensors, values = read_pickle(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
    return Container(shapes, dtypes, tensors.__getitem__, values)


def _is_npz(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def _npz(path, max_bytes):
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > max_bytes:
            raise CheckpointError(
                f"{path} has {path.stat().st_size:,} bytes and unpacks to {total:,}, more than the "
                f"{max_bytes:,} allowed. Raise the limit (max_bytes) if that is what you expect of it."
            )
        headers = {member.filename.removesuffix(".npy"): _header(path, archive, member) for member in members}

    def read(name):
        with np.load(path, allow_pickle=False) as arrays:
            return torch.from_numpy(arrays[name])

    shapes = {name: shape for name, (shape, _) in headers.items()}
    return Container(shapes, {name: str(dtype) for name, (_, dtype) in headers.items()}, read)


def _header(path, archive, member):
    """Shape and dtype of one array, refused where it claims more bytes than it has: numpy allocates first."""
    try:
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = header(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: {member.filename} is damaged: {error}. Copy the file again."
        ) from error
    if dtype.hasobject:
        raise CheckpointError(
            f"{path}: {member.filename} holds Python objects, which can run code. Not loaded."
        )
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > member.file_size:
        raise CheckpointError(
            f"{path}: {member.filename} claims {claimed:,} bytes of numbers and has {member.file_size:,}. "
            "Copy the file again."
        )
    return shape, dtype
