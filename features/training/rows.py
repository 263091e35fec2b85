"""Which token rows are trained on: documents laid end to end, cut to one length, held-out text left out."""

import json
import lzma
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .tokenizer import BOS, EOS

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
WINDOW = 16  # tokens in a row that make a shared passage; shorter runs are idiom, not memory
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no token is lost modulo 2**64


def documents(folder: Path) -> Iterator[str]:
    """Texts of every .jsonl, .jsonl.xz ({"text"} a line) and .txt file of a folder, by file name."""
    for path in sorted(Path(folder).iterdir()):
        if path.name.endswith((".jsonl", ".jsonl.xz")):
            opened = lzma.open(path, "rt") if path.suffix == ".xz" else path.open()
            with opened as lines:
                yield from (json.loads(line)["text"] for line in lines)
        elif path.suffix == ".txt":
            yield from filter(str.strip, path.read_text().split(SEPARATOR))


def cut(tokenizer: Tokenizer, texts: Iterable[str], length: int, batch: int = 500) -> np.ndarray:
    """Documents in their order, each closed by EOS, as rows that begin with BOS; the last, short row is dropped.

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
    """Rows that share a passage of `window` tokens with a held-out row, wherever either was cut: [rows] bool."""
    known = np.unique(passages(held_out, window))
    found = [
        np.isin(passages(rows[start : start + batch], window), known).any(1)
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(found) if found else np.zeros(0, bool)


def write(path: Path, rows: np.ndarray, held_out: np.ndarray, seed: int = 0) -> int:
    """Shuffles rows into a file of uint16, without those that overlap the held-out ones; returns how many stay."""
    kept = rows[~overlapping(rows, held_out)] if len(held_out) else rows
    kept = kept[np.random.default_rng(seed).permutation(len(kept))]
    temporary = path.with_name(path.name + ".part")
    kept.tofile(temporary)
    os.replace(temporary, path)
    return len(kept)


def read(path: Path, length: int) -> np.ndarray:
    """The rows of such a file, mapped, not loaded: [rows, length] uint16."""
    return np.memmap(path, np.uint16, "r").reshape(-1, length)
