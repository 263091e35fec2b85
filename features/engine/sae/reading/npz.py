"""What is inside an .npz file? Sizes and headers first: it may unpack to a thousand times its length."""

import math
import zipfile

import numpy as np
import torch

from features.engine.foreign_files import in_bytes
from features.engine.sae.reading.errors import CheckpointError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


PACKED, SPARE = 20, 64 << 20  # times its own size that an archive may unpack to, and bytes beside


def is_npz(path):
    """A zip of .npy files and nothing else."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return bool(names) and all(name.endswith(".npy") for name in names)


def open_npz(path, max_bytes):
    """(shapes, dtypes, read by name). CheckpointError where it unpacks to more than `max_bytes`."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        # The zip's directory states the unpacked size of every member; nothing is unpacked to add them up.
        total = sum(member.file_size for member in members)
        if total > max_bytes:
            raise CheckpointError(
                f"{path} has {in_bytes(path.stat().st_size)} and unpacks to {in_bytes(total)}, more than "
                f"the {in_bytes(max_bytes)} allowed. Raise the limit (max_bytes) if that is expected."
            )
        size = path.stat().st_size
        if total > PACKED * size + SPARE:
            raise CheckpointError(
                f"{path} has {in_bytes(size)} and unpacks to {in_bytes(total)}, more than {PACKED} times as much: "
                "weights cannot be packed so well. Save them with numpy.savez, if that is meant."
            )
        headers = {member.filename.removesuffix(".npy"): _header(path, archive, member) for member in members}

    def read(name):
        with np.load(path, allow_pickle=False) as arrays:
            return torch.from_numpy(arrays[name])

    shapes = {name: shape for name, (shape, _) in headers.items()}
    return shapes, {name: str(dtype) for name, (_, dtype) in headers.items()}, read


def _header(path, archive, member):
    """Shape and dtype of one array, refused where it claims more bytes than it has: numpy allocates first."""
    with archive.open(member) as file:
        # An .npy: magic string and version, a header with shape, order and type, then the numbers.
        version = np.lib.format.read_magic(file)
        header = HEADERS[version]
        shape, _, dtype = header(file)
    if dtype.hasobject:
        raise CheckpointError(f"{path}: {member.filename} holds Python objects, which can run code. Not loaded.")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > member.file_size:
        raise CheckpointError(
            f"{path}: {member.filename} claims {claimed:,} bytes of numbers and has {member.file_size:,}. "
            "Copy the file again."
        )
    return shape, dtype
