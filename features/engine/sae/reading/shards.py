"""Which files hold the weights of a checkpoint that lies in several? An index names the file of each tensor."""

import re
from pathlib import Path

from features.engine.foreign_files import Unreadable, read_json
from features.engine.sae.reading.errors import CheckpointError

INDEX = ".index.json"  # model.safetensors.index.json beside model-00001-of-00002.safetensors
PART = re.compile(r"(.+)-\d{2,6}-of-(\d{2,6})(\.\w+)")  # name, of how many, ending


def is_index(path: Path) -> bool:
    """Whether a file is an index of weights by its name."""
    return path.name.endswith(INDEX)


def index_of(path: Path) -> Path | None:
    """The index that lies beside a part, if there is one."""
    match = PART.fullmatch(path.name)
    index = path.with_name(f"{match[1]}{match[3]}{INDEX}") if match else None
    return index if index and index.is_file() else None


def is_orphan(path: Path) -> bool:
    """Whether a file is one of several parts by its name, and no index beside it says which."""
    match = PART.fullmatch(path.name)
    return match is not None and int(match[2]) > 1 and index_of(path) is None


def parts_of(index: Path) -> list[Path]:
    """The files that an index names, in order. CheckpointError where one is missing or would lie elsewhere."""
    names = sorted(set(weight_map(index).values()))
    outside = [name for name in names if name in ("", ".", "..") or Path(name).name != name or "\\" in name]
    if outside:
        raise CheckpointError(f"{index} names {outside[0]!r}: only files beside it are read.")
    missing = [name for name in names if not index.with_name(name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index} names {len(names)} files, of which {len(missing)} are missing: {', '.join(missing[:8])}. "
            "Download or copy them too."
        )
    return [index.with_name(name) for name in names]


def weight_map(index: Path) -> dict[str, str]:
    """{tensor: file} as an index says. CheckpointError where it says no such thing."""
    try:
        content = read_json(index, kind="index")
    except Unreadable as error:
        raise CheckpointError(str(error)) from error
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise CheckpointError(f"{index} has no weight_map, which says in which file each tensor lies. Copy it again.")
    return named
