"""Documents to equal rows of tokens, in a fixed order, read from any starting row."""

import hashlib
import os
import random
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from .text import Vocabulary

SEPARATOR = "<|endoftext|>"  # between the documents of a .txt file
BATCH = 512  # documents tokenised at a time


class CorpusError(ValueError):
    """Text or token rows that cannot serve as a corpus."""


def read_documents(folder) -> list[str]:
    """The documents of every .txt file of a folder, files in the order of their names.

    Raises CorpusError when there are none.
    """
    files = sorted(Path(folder).glob("*.txt"))
    pieces = (piece.strip() for file in files for piece in file.read_text("utf-8").split(SEPARATOR))
    documents = [piece for piece in pieces if piece]
    if not documents:
        raise CorpusError(f"No text in {folder}: {len(files)} .txt files, 0 documents. Put .txt files there.")
    return documents


def shuffled(documents: list[str], seed: int = 0) -> list[str]:
    """The documents in a fixed random order, so that the first rows are a fair mix of all."""
    order = list(range(len(documents)))
    random.Random(seed).shuffle(order)
    return [documents[at] for at in order]


def build_rows(documents: Iterable[str], vocabulary: Vocabulary, length: int, bos: bool = True) -> np.ndarray:
    """Pack documents into rows of `length` tokens: joined with EOS between them, cut, BOS in front of each row.

    The last, incomplete row is dropped. [rows, length] uint16, or uint32 for larger vocabularies. Raises
    CorpusError when there is less text than one row.
    """
    if bos and vocabulary.bos_id is None:
        raise CorpusError("Rows should start with BOS, but the tokenizer names none. Build them with bos=False.")
    kind = np.uint16 if vocabulary.size <= 2**16 else np.uint32
    stream = np.concatenate([np.empty(0, kind), *(np.array(ids, kind) for ids in _streams(documents, vocabulary))])
    width = length - bos
    count = len(stream) // width
    if not count:
        raise CorpusError(f"The text has {len(stream):,} tokens; one row needs {width:,}. Add text.")
    rows = stream[: count * width].reshape(count, width)
    if not bos:
        return rows
    return np.concatenate([np.full((count, 1), vocabulary.bos_id, dtype=kind), rows], axis=1)


def _streams(documents: Iterable[str], vocabulary: Vocabulary) -> Iterator[list[int]]:
    """Token ids of a batch of documents after another, each document closed by EOS."""
    end = _end_of_document(vocabulary)
    for batch in _batches(documents):
        yield list(chain.from_iterable(ids + end for ids in vocabulary.many_ids(batch)))


def _end_of_document(vocabulary: Vocabulary) -> list[int]:
    """What stands between documents: EOS where the tokenizer has one."""
    for name in ("<|EOS|>", "<|endoftext|>", "</s>", "<eos>"):
        id = vocabulary.tokenizer.token_to_id(name)
        if id is not None:
            return [id]
    return []


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def save_rows(path, rows: np.ndarray) -> str:
    """Write rows as .npy at once, never half; returns the sha256 of the file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.save(file, rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return sha256(path)


def sha256(path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_rows(path) -> np.ndarray:
    """Token rows as a memory map: only what is read is loaded. [rows, length]

    Raises CorpusError when the file is missing, cut short or not a two-dimensional array of ids.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CorpusError(f"Cannot read token rows from {path}: {error}") from error
    if rows.ndim != 2 or rows.dtype.kind != "u":
        raise CorpusError(f"{path} holds {rows.dtype} of shape {rows.shape}; token rows are unsigned, 2-D.")
    return rows
