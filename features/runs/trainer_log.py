"""What did the trainer itself write down? Curves of the logs in or beside a run's folder, to be laid beside ours.

Read are wandb's local files as far as they are text, *.jsonl and *.csv: in the run's folder, then in those above it as
far as they are watched or lie below SAEVIZ_FOLDERS, and in their wandb and logs folders. They are strangers' files:
lengths, lines, columns and folders are bounded, no link is followed out of the folder, and what is no number is left
out.
"""

import csv
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import StringIO
from pathlib import Path

from ..engine.foreign_files import Unreadable, in_bytes, in_words, opened_plain
from ..importing.folders import roots
from ..models import Run
from .intake.identity import STEP_KEYS, TOKEN_KEYS

SUMMARY = "wandb-summary.json"
DEEPEST, MOST_ENTRIES, MOST_FILES = 4, 5_000, 20  # folders below the run's, names looked at, logs read
MOST_BYTES, MOST_LINE, MOST_SERIES, MOST_POINTS = 1 << 24, 1 << 17, 300, 2_000
UP, BESIDE = 3, ("wandb", "logs", "log", "metrics")  # folders above the run's that are looked into, and in each of them
STEPS = (*STEP_KEYS, "_step", "global_step", "steps", "iter", "epoch")
TOKENS = (*TOKEN_KEYS, "tokens", "n_tokens", "samples")


@dataclass
class Log:
    """A file: its curves over its own steps, and what was left out of it."""

    path: str  # from the run's folder on
    unit: str = ""  # "tokens" or "steps"
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # (step, value) in order
    notes: list[str] = field(default_factory=list)


def logs_of(run: Run) -> list[Log]:
    """Those in its folder that have steps and numbers, or of which something is to be told."""
    own, others = Path(run.folder), set(Run.objects.exclude(pk=run.pk).values_list("folder", flat=True))
    found = []
    for place, deepest in _places(run):
        beside = (
            "" if place == own else f"It lies in {in_words(place)}, outside the run's folder: of this run or another."
        )
        for path in _files(place, deepest, others)[: MOST_FILES - len(found)]:
            log = _read(path, place, own)
            if log.curves or log.notes:
                found.append(replace(log, notes=[*filter(None, [beside]), *log.notes]))
    return found


def _places(run: Run) -> Iterator[tuple[Path, int]]:
    """Folders to be looked into, and how many below each."""
    folder, allowed = Path(run.folder), [Path(run.watch.path), *roots()]
    yield folder, DEEPEST
    for above in folder.parents[:UP]:
        if not any(above.is_relative_to(each) for each in allowed):
            return
        yield above, 0
        for name in BESIDE:
            if (above / name) != folder and not (above / name).is_symlink():
                yield above / name, DEEPEST


def _files(root: Path, deepest: int, others: set[str]) -> list[Path]:
    """Logs below a folder, of later names first where folders are many; those of other runs are left out."""
    found, seen = [], 0
    for name, inner, files in os.walk(root):
        folder = Path(name)
        deep = len(folder.relative_to(root).parts) >= deepest
        inner[:] = [] if deep else [n for n in inner if not n.startswith(".") and str(folder / n) not in others]
        inner.sort(reverse=True)
        seen += len(files)
        logs = (each for each in sorted(files) if each == SUMMARY or each.endswith((".jsonl", ".csv", ".wandb")))
        found += [folder / each for each in logs]
        if seen > MOST_ENTRIES or len(found) >= MOST_FILES:
            break
    return found[:MOST_FILES]


def _read(path: Path, place: Path, root: Path) -> Log:
    """`place`: that it was found in and must not lead out of; `root`: that its name begins at."""
    name = in_words(os.path.relpath(path, root))
    try:
        stat = path.stat()
        if not path.resolve().is_relative_to(place.resolve()):
            return Log(name, notes=["It leads out of the run's folder and is not read."])
    except OSError as error:
        return Log(name, notes=[f"It cannot be read: {error.strerror}."])
    return _read_once(path, name, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)  # a log that has grown is read anew
def _read_once(path: Path, name: str, size: int, modified: int) -> Log:
    log = Log(name)
    if path.suffix == ".wandb":
        log.notes.append("Only wandb reads its own binary log: `wandb.Api().run(...).history()` writes it as CSV.")
        return log
    try:
        with opened_plain(path) as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except (OSError, Unreadable) as error:
        log.notes.append(f"It cannot be read: {in_words(error)}")
        return log
    if size > MOST_BYTES:
        log.notes.append(f"It has {in_bytes(size)}; the first {in_bytes(MOST_BYTES)} are read.")
    _collect(log, _rows(path, text, log))
    return log


def _rows(path: Path, text: str, log: Log) -> Iterator[dict]:
    """What each line says, columns and nested keys by their names ("losses/mse")."""
    broken = 0
    if path.suffix == ".csv":
        try:
            yield from csv.DictReader(StringIO(text.replace("\0", "")))
        except csv.Error as error:
            log.notes.append(f"It is no CSV from some line on: {error}.")
        return
    for line in [text] if path.name == SUMMARY else text.splitlines():
        if not line.strip():
            continue
        try:
            content = json.loads(line) if len(line) <= MOST_LINE else None
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            yield dict(_leaves(content))
        else:
            broken += 1
    if broken:
        log.notes.append(f"{broken:,} of its lines are no objects of JSON and are left out.")


def _leaves(content: dict, path: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, dict) and depth < DEEPEST:
            yield from _leaves(value, f"{path}{key}/", depth + 1)
        else:
            yield f"{path}{key}", value


def _collect(log: Log, rows: Iterator[dict]) -> None:
    """The numbers of all rows by their names, over the first of the known columns of steps."""
    column, left_out = None, set()
    for row in rows:
        column = column or _steps_in(row)
        step = _number(row.get(column)) if column else None
        if step is None:
            continue
        for name, value in row.items():
            number = _number(value)
            if number is None or name == column or not isinstance(name, str):
                continue
            if name not in log.curves and len(log.curves) >= MOST_SERIES:
                left_out.add(name)
            else:
                log.curves.setdefault(name[:200], []).append((step, number))
    if left_out:
        log.notes.append(f"It has more than {MOST_SERIES} columns of numbers; the first {MOST_SERIES} are offered.")
    if column:
        log.unit = "tokens" if column.rsplit("/", 1)[-1] in TOKENS else "steps"
    for name, points in log.curves.items():
        points.sort()
        # Every so manieth, the last among them: a screen has no more columns.
        every = math.ceil(len(points) / MOST_POINTS)
        log.curves[name] = points[::-1][::every][::-1]


def _steps_in(row: dict) -> str | None:
    """The column that says when, tokens before steps."""
    last = {str(name).rsplit("/", 1)[-1]: name for name, value in row.items() if _number(value) is not None}
    return next((last[name] for name in (*TOKENS, *STEPS) if name in last), None)


def _number(value) -> float | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, str))
        or (isinstance(value, str) and len(value) > 40)
    ):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def listed(run: Run) -> list[dict]:
    """Of each log the names of its curves, and its notes."""
    return [
        {"file": log.path, "unit": log.unit, "curves": sorted(log.curves), "notes": log.notes} for log in logs_of(run)
    ]


def curve(run: Run, file: str, name: str, last: float | None, unit: str) -> dict | None:
    """One curve over the run's steps; None where there is none. Where the log counts in another unit, its last step is
    laid at the run's `last`, and that is told."""
    log = next((log for log in logs_of(run) if log.path == file and name in log.curves), None)
    if log is None:
        return None
    steps, values = zip(*log.curves[name], strict=True)
    note = ""
    if log.unit != unit and last and max(steps) > 0:
        end = max(step for points in log.curves.values() for step, _ in points)
        steps = [step * last / end for step in steps]
        note = f"the log counts {log.unit}, the run {unit}: its last one, {end:,.0f}, is laid at the last checkpoint"
    return {"file": file, "name": name, "x": list(steps), "values": list(values), "note": note}
