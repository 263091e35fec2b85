"""Which checkpoints lie below a folder, of which step is each, and which of them belong together? Names alone."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...engine.foreign_files import in_words
from ...engine.sae.reading.errors import CheckpointError
from ...engine.sae.reading.files import USUAL, find_configs, weight_files, weights_in
from ...models.runs import STATES

DEEPEST = 6  # folders below the watched one that are looked into
MOST = 10_000  # checkpoints that are looked at
STEP_WORDS = "step|steps|checkpoint|checkpoints|ckpt|iter|iteration|epoch|sae|ae|final|samples|tokens|trained"
BARE = re.compile(r"(\d[\d_,]*)")
SHORT = re.compile(r"(?:.*[_\-])?(\d+(?:\.\d+)?)(k|m|b|e\d{1,2})", re.IGNORECASE)  # 1.5M, 1e6
OF_ALL = re.compile(r"[_\-.]?of[_\-.]?\d+$", re.IGNORECASE)  # step-100-of-1000
NAMED = re.compile(
    rf"(?:.*[_\-.])?(?:{STEP_WORDS})[_\-=.]?(\d[\d_,]*(?:\.\d+)?)(k|m|b)?(?:[_\-.](?:tokens|steps))?", re.IGNORECASE
)
COUNTED = re.compile(r"(?:.*[_\-.])?(\d[\d_,]*(?:\.\d+)?)(k|m|b)?[_\-]?(?:tokens?|samples?|steps?)", re.IGNORECASE)
NO_STEPS = re.compile(
    r"(?:.*[_\-.])?(layers?|l|h|block|blocks|trainer|seed|width|run|k|l0|d|x|lr|head|expansion|v|version|gpu|rank)"
    r"[_\-=.]?\d+(?:k|m|b|e-?\d+)?",
    re.IGNORECASE,
)
LAST_NUMBER = re.compile(r".*[_\-](\d+)")
TIMES = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
OF_CHECKPOINTS = re.compile(r"checkpoints?|ckpts?|weights|saes|steps", re.IGNORECASE)  # folders of many of one run
IN_THE_MAKING = re.compile(r"\.|~|.*\.(tmp|temp|part|partial|incomplete|lock)(\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """Files of one checkpoint, as they are now."""

    path: Path  # a weight file, or the folder that it is the SAE of
    signature: str  # of their names, sizes and times
    modified: float  # seconds since 1970, of the latest


@dataclass(frozen=True)
class NamedStep:
    """What a name says."""

    step: int
    unit: str  # "tokens" or "steps", empty where it does not say


def find(root: Path) -> tuple[list[Found], list[str]]:
    """All checkpoints below `root`, at most MOST, and sentences of what could not be looked at.

    Raises OSError where the folder itself cannot be read.
    """
    os.scandir(root).close()
    found, problems = [], []
    for path in _below(root, problems):
        if len(found) == MOST:
            problems.append(
                f"It holds more than {MOST:,} checkpoints; the first {MOST:,} by name are looked at. "
                "Watch a folder below it."
            )
            break
        try:
            found.append(_found(path))
        except (OSError, CheckpointError) as error:  # gone since, or a part of it is not there yet
            problems.append(in_words(f"{path}: {error}"))
    return found, problems


def _below(root: Path, problems: list[str]) -> Iterator[Path]:
    """Paths of checkpoints, in order of names; language models, links and what is being written are left out."""

    def unreadable(error):
        problems.append(in_words(f"{error.filename} cannot be read: {error.strerror}. Its checkpoints are left out."))

    for name, inner, files in os.walk(root, onerror=unreadable):
        folder = Path(name)
        depth = len(folder.relative_to(root).parts)
        problems += _links_out(folder, inner, root)
        # A name that is not UTF-8 fits into no row.
        named = (n for n in inner if not IN_THE_MAKING.match(n) and in_words(n) == n)
        inner[:] = sorted(named) if depth < DEEPEST else []
        if "tokenizer.json" in files:
            inner.clear()
            continue
        try:
            weights = [file for file in weights_in(folder) if not IN_THE_MAKING.match(file.name)]
        except OSError as error:
            unreadable(error)
            continue
        # The usual name alone in its folder: the folder is the SAE. Any other file is one by itself.
        whole = len(weights) == 1 and weights[0].name.removesuffix(".index.json") in USUAL
        yield from [folder] if whole and not weights[0].name.startswith("ae.") else weights


def _links_out(folder: Path, inner: list[str], root: Path) -> list[str]:
    """A sentence for each folder that is a link to a place elsewhere: none is followed."""
    links = (folder / name for name in sorted(inner) if (folder / name).is_symlink())
    return [
        in_words(f"{link} is a link to {target}, which is not followed. Watch {target} itself to read what lies there.")
        for link in links
        if not (target := link.resolve()).is_relative_to(root.resolve())
    ]


def signature_of(path: Path) -> str:
    """Of a checkpoint's files as they are now. Raises OSError, CheckpointError."""
    return _found(path).signature


def _found(path: Path) -> Found:
    weights = weights_in(path)[0] if path.is_dir() else path
    files = sorted({*weight_files(weights), *find_configs(weights)})
    stats = [file.stat() for file in files]
    said = [f"{file.name} {stat.st_size} {stat.st_mtime_ns}" for file, stat in zip(files, stats, strict=True)]
    signature = hashlib.sha256("\n".join(said).encode()).hexdigest()
    return Found(path, signature, max(stat.st_mtime for stat in stats))


def named_step(path: Path, root: Path) -> NamedStep | None:
    """The step that a checkpoint's own name says, else that of a folder on the way up to the watched one."""
    for above in (path, *path.parents):
        if above == root:
            break
        stem = above.name if above.is_dir() else Path(above.name.removesuffix(".index.json")).stem
        if step := _step_in(stem, is_own=above == path):
            return step
    return None


def _step_in(name: str, is_own: bool) -> NamedStep | None:
    name = OF_ALL.sub("", name)
    if match := BARE.fullmatch(name):
        return NamedStep(int(re.sub("[_,]", "", match[1])), "")
    if NO_STEPS.fullmatch(name):
        return None
    if match := NAMED.fullmatch(name) or COUNTED.fullmatch(name):
        number = round(float(re.sub("[_,]", "", match[1])) * TIMES.get((match[2] or "").lower(), 1))
        unit = "tokens" if "token" in name.lower() or "sample" in name.lower() else ""
        return NamedStep(number, unit)
    if is_own and (match := SHORT.fullmatch(name)):
        times = 10 ** int(match[2][1:]) if match[2][0] in "eE" else TIMES[match[2].lower()]
        return NamedStep(round(float(match[1]) * times), "")
    match = LAST_NUMBER.fullmatch(name) if is_own else None
    return NamedStep(int(match[1]), "") if match else None


def run_folder(path: Path, root: Path) -> Path:
    """The folder that a run is named for: without what tells its checkpoints apart."""
    is_state = bool(STATES.fullmatch(path.stem if path.is_file() else path.name))
    if path == root:
        return root
    if path.is_dir() and not is_state and _step_in(path.name, is_own=True) is None:
        # A name of its own, as of one SAE of a sweep; unless the step stands above it (checkpoint-1000/layers.3).
        steps = [above for above in path.parents if above.is_relative_to(root) and above != root]
        if not any(_step_in(above.name, is_own=False) for above in steps):
            return path
    folder = path.parent
    while folder != root and (OF_CHECKPOINTS.fullmatch(folder.name) or _step_in(folder.name, is_own=False)):
        folder = folder.parent
    return folder
