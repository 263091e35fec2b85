"""Which token rows are trained on: documents laid end to end, cut to one length, held-out text left out."""

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .tokenizer import BOS, EOS

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
WINDOW = 16  # tokens in a row that make a shared passage; shorter runs are idiom, not memory
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost modulo 2**64


def named_documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(source, text) from every .jsonl, .jsonl.xz and .txt file of a folder, by file name.

    A line of JSON holds "text" and perhaps "source"; otherwise the file's name is the source.
    """
    for path in sorted(Path(folder).iterdir()):
        name = path.name.split(".")[0]
        if path.name.endswith((".jsonl", ".jsonl.xz")):
            with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as lines:
                for record in map(json.loads, lines):
                    yield record.get("source", name), record["text"]
        elif path.suffix == ".txt":
            yield from ((name, text) for text in path.read_text().split(SEPARATOR) if text.strip())


def documents(folder: Path) -> Iterator[str]:
    """The texts alone."""
    return (text for _, text in named_documents(folder))


def sources(folder: Path) -> dict[str, list[int]]:
    """How many documents and characters each source has, the largest first."""
    found: dict[str, list[int]] = {}
    for source, text in named_documents(folder):
        known = found.setdefault(source, [0, 0])
        known[0], known[1] = known[0] + 1, known[1] + len(text)
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def cut(tokenizer: Tokenizer, texts: Iterable[str], length: int, batch: int = 500) -> np.ndarray:
    """Documents in their order, each closed by EOS, as rows that begin with BOS; the last, short row is
    dropped.

    Returns [rows, length] uint16.
    """
    texts, pieces, rest = list(texts), [np.zeros((0, length), np.uint16)], []
    for start in range(0, len(texts), batch):
        for encoding in tokenizer.encode_batch(texts[start : start + batch]):
            rest += [*encoding.ids, EOS]
        whole = len(rest) // (length - 1)
        body = np.array(rest[: whole * (length - 1)], np.uint16).reshape(whole, length - 1)
        pieces.append(np.pad(body, ((0, 0), (1, 0)), constant_values=BOS))
        rest = rest[whole * (length - 1) :]
    return np.concatenate(pieces)


def passages(rows: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """A number for each run of `window` tokens of each row, BOS aside: [rows, length - window] uint64."""
    body = rows[:, 1:].astype(np.uint64)
    sums = np.zeros((len(rows), body.shape[1] - window + 1), np.uint64)
    for place in range(window):  # Horner's rule modulo 2**64
        sums = sums * MULTIPLIER + body[:, place : place + sums.shape[1]] + np.uint64(1)
    return sums


def overlapping(rows: np.ndarray, held_out: np.ndarray, window: int = WINDOW, batch: int = 20_000) -> np.ndarray:
    """Rows that share a passage of `window` tokens with a held-out row, wherever either was cut: [rows]
    bool.
    """
    known = np.unique(passages(held_out, window))
    found = [
        np.isin(passages(rows[start : start + batch], window), known).any(1) for start in range(0, len(rows), batch)
    ]
    return np.concatenate(found) if found else np.zeros(0, bool)


def write(path: Path, rows: np.ndarray, held_out: np.ndarray, seed: int = 0) -> int:
    """Shuffles rows into a file of uint16, without those that overlap the held-out ones; returns how many
    stay.
    """
    kept = rows[~overlapping(rows, held_out)] if len(held_out) else rows
    kept = kept[np.random.default_rng(seed).permutation(len(kept))]
    temporary = path.with_name(path.name + ".part")
    kept.tofile(temporary)
    temporary.replace(path)
    return len(kept)


def read(path: Path, length: int) -> np.ndarray:
    """The rows of such a file, mapped, not loaded: [rows, length] uint16."""
    return np.memmap(path, np.uint16, "r").reshape(-1, length)
