"""Which tensors does a weight file hold, of which shape? Names and shapes first, contents on demand."""

from safetensors import safe_open

from features.engine.confined import listings
from features.engine.foreign_files import Unreadable, in_bytes, opened_plain
from features.engine.sae.reading.errors import CheckpointError, reading
from features.engine.sae.reading.npz import is_npz, open_npz
from features.engine.sae.reading.pickles import read_pickle
from features.engine.sae.reading.shards import is_index, parts_of, weight_map

SMALL = 1 << 24  # bytes of a tensor that may say one number again and again: one threshold for all
FLOATS = {
    **dict.fromkeys(("F16", "float16"), "float16"),
    **dict.fromkeys(("BF16", "bfloat16"), "bfloat16"),
    **dict.fromkeys(("F32", "float32"), "float32"),
    **dict.fromkeys(("F64", "float64"), "float64"),
}


class Container:
    """Tensors of one file. `shapes` and `dtypes` by name, `values` all else, `read(name)` a tensor."""

    def __init__(self, path, shapes, dtypes, read, values=None, held=None):
        self.path = path
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dtypes = {name: FLOATS.get(dtype, dtype) for name, dtype in dtypes.items()}
        self.values = values or {}
        self.held = held or {}  # bytes that the file has of a tensor which says them again and again (a stride of 0)
        self._read = read

    def read(self, name):
        """The tensor as stored, memory-mapped where the file allows. CheckpointError where it is damaged."""
        with reading(self.path):
            return self._read(name)


def open_weights(path, max_bytes) -> Container:
    """Look into a weight file of at most `max_bytes`, by its first bytes rather than by its extension.

    An index of several files is looked into with all of them.
    """
    if is_index(path):
        return _together(path, max_bytes)
    size = path.stat().st_size
    if size > max_bytes:
        raise CheckpointError(
            f"{path} has {in_bytes(size)}, more than the {in_bytes(max_bytes)} allowed. "
            "Raise the limit (max_bytes) if the machine has the memory."
        )
    with reading(path):
        return _open(path, max_bytes)


def _together(index, max_bytes) -> Container:
    """The tensors of all files that an index names."""
    parts = parts_of(index)
    size = sum(part.stat().st_size for part in parts)
    if size > max_bytes:
        raise CheckpointError(
            f"{index} names files of {in_bytes(size)}, more than the {in_bytes(max_bytes)} allowed. "
            "Raise the limit (max_bytes) if the machine has the memory."
        )
    opened = [open_weights(part, max_bytes) for part in parts]
    holders = {}
    for part in opened:
        twice = sorted(holders.keys() & part.shapes.keys())
        if twice:
            raise CheckpointError(f"{part.path} holds {twice[0]}, which {holders[twice[0]].path.name} holds too.")
        holders |= dict.fromkeys(part.shapes, part)
    lacking = sorted(weight_map(index).keys() - holders.keys())
    if lacking:
        raise CheckpointError(f"{index} names {lacking[0]}, which none of its files holds. Copy them again.")
    shapes = {name: part.shapes[name] for name, part in holders.items()}
    dtypes = {name: part.dtypes[name] for name, part in holders.items()}
    values = {name: value for part in opened for name, value in part.values.items()}
    held = {name: size for part in opened for name, size in part.held.items()}
    return Container(index, shapes, dtypes, lambda name: holders[name].read(name), values, held)


def _open(path, max_bytes):
    with opened_plain(path) as file:
        start = file.read(9)
    try:
        listings.refuse_long(path)
    except Unreadable as error:
        raise CheckpointError(str(error)) from error
    # safetensors: the length of the header in eight bytes, then the header, a JSON object.
    if start[8:9] == b"{":
        return _safetensors(path)
    if start[:2] == b"\x1f\x8b":
        raise CheckpointError(f"{path} is a gzip-compressed file, most likely a pickle, which can run code.")
    # .npz and .pt are both zip files: the names inside tell them apart.
    if is_npz(path):
        shapes, dtypes, read = open_npz(path, max_bytes)
        return Container(path, shapes, dtypes, read)
    # A damaged one must not go on to the reader of pickles.
    if path.suffix in (".npz", ".safetensors"):
        raise ValueError(f"it does not begin like a {path.suffix} file")
    return _pickle(path)


def _safetensors(path):
    with safe_open(path, "pt") as file:
        # A slice knows shape and type from the header; no weight is read.
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        shapes = {name: part.get_shape() for name, part in slices.items()}
        dtypes = {name: part.get_dtype() for name, part in slices.items()}

    def read(name):
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)

    return Container(path, shapes, dtypes, read)


def _pickle(path):
    tensors, values = read_pickle(path)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    dtypes = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()}
    sizes = {n: (t.numel() * t.itemsize, t.untyped_storage().nbytes()) for n, t in tensors.items()}
    held = {name: held for name, (claimed, held) in sizes.items() if claimed > max(held, SMALL)}
    return Container(path, shapes, dtypes, tensors.__getitem__, values, held)
