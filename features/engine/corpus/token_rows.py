"""Documents to equal rows of tokens, in a fixed order, read from any starting row."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from ..files import sha256, whole_file
from ..model.vocabulary import Vocabulary
from .documents import CorpusError, read_documents  # noqa: F401  (where a corpus begins)

BATCH = 512  # documents tokenised at a time


def shuffled(documents: list[str], seed: int = 0) -> list[str]:
    """The documents in a fixed random order, so that the first rows are a fair mix of all."""
    order = list(range(len(documents)))
    random.Random(seed).shuffle(order)
    return [documents[index] for index in order]


def build_rows(documents: Iterable[str], vocabulary: Vocabulary, length: int, bos: bool = True) -> np.ndarray:
    """Pack documents into rows of `length` tokens: joined with EOS between them, cut, BOS in front of each row.

    The last, incomplete row is dropped. [rows, length] uint16, or uint32 for larger vocabularies. Raises
    CorpusError when there is less text than one row.
    """
    tokenised = chain.from_iterable(vocabulary.many_ids(batch) for batch in _batches(documents))
    return pack(tokenised, vocabulary, length, bos)


def pack(documents: Iterable[Sequence[int]], vocabulary: Vocabulary, length: int, bos: bool = True) -> np.ndarray:
    """The same of documents that are token ids already, EOS not among them."""
    if bos and vocabulary.bos_id is None:
        raise CorpusError("Rows should start with BOS, but the tokenizer names none. Build them with bos=False.")
    # Two bytes hold the ids of most vocabularies (GPT-2's has 50,257), at half the size on disk.
    kind = np.uint16 if vocabulary.size <= 2**16 else np.uint32
    stream = np.concatenate([np.empty(0, kind), *_streams(documents, _end_of_document(vocabulary), kind)])
    # BOS takes the first of a row's places.
    width = length - bos
    count = len(stream) // width
    if not count:
        raise CorpusError(f"The text has {len(stream):,} tokens; one row needs {width:,}. Add text.")
    rows = stream[: count * width].reshape(count, width)  # [rows, width]
    if not bos:
        return rows
    return np.concatenate([np.full((count, 1), vocabulary.bos_id, dtype=kind), rows], axis=1)


def _streams(documents: Iterable[Sequence[int]], end: list[int], kind: type) -> Iterator[np.ndarray]:
    """Token ids of a batch of documents after another, each document closed by `end`."""
    for batch in _batches(documents):
        yield np.fromiter(chain.from_iterable(chain(ids, end) for ids in batch), kind)


def _end_of_document(vocabulary: Vocabulary) -> list[int]:
    """What stands between documents: EOS where the tokenizer has one."""
    # By family: transformer_lens's own models, GPT-2 and GPT-NeoX, SentencePiece (Llama), Gemma.
    for name in ("<|EOS|>", "<|endoftext|>", "</s>", "<eos>"):
        id = vocabulary.tokenizer.token_to_id(name)
        if id is not None:
            return [id]
    return []


def _batches(documents: Iterable) -> Iterator[list]:
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
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, rows)
    return sha256(path)


def rows_from_ids(path, vocabulary: Vocabulary, length: int) -> np.ndarray:
    """Token rows from a .npy of ids: rows as they are, one long sequence cut into rows of `length`.

    Raises CorpusError where it holds no whole numbers, or ids that the vocabulary has not.
    """
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CorpusError(f"Cannot read token ids from {path}: {error}") from error
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2) or not ids.size:
        raise CorpusError(f"{path} holds {ids.dtype} of shape {ids.shape}; whole numbers, 1-D or 2-D, are needed.")
    # All ids are looked at: one beyond the embedding would stop a pass over the corpus in its middle.
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= vocabulary.size:
        raise CorpusError(
            f"{path} holds ids from {lowest:,} to {highest:,}; this tokenizer has 0 to {vocabulary.size - 1:,}. "
            "Was it made with another tokenizer?"
        )
    if ids.ndim == 1:
        if len(ids) < length:
            raise CorpusError(f"{path} has {len(ids):,} ids; one row needs {length:,}. Add tokens.")
        ids = ids[: len(ids) // length * length].reshape(-1, length)
    return ids.astype(np.uint16 if vocabulary.size <= 2**16 else np.uint32)


def countable(rows: np.ndarray, vocabulary: Vocabulary) -> int:
    """How many of the tokens are not special ones."""
    # By 4,096 rows: the rows may be a memory map, and the mask of all of them would not be one.
    special, parts = sorted(vocabulary.special), np.array_split(rows, max(1, len(rows) // 4096))
    return sum(int((~np.isin(part, special)).sum()) for part in parts)


def starts_with_bos(rows: np.ndarray, vocabulary: Vocabulary) -> bool:
    """Whether every row begins with BOS."""
    return vocabulary.bos_id is not None and bool((rows[:, 0] == vocabulary.bos_id).all())


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


class NotEnoughTokens(ValueError):
    """More tokens were asked for than the corpus has."""


def counted_tokens(rows: np.ndarray, special: set[int]) -> np.ndarray:
    """Tokens of each row that are counted: all but special ones. [n] int64. Same as reference.counted: exact."""
    return (~np.isin(rows, sorted(special))).sum(1) if special else np.full(len(rows), rows.shape[1])


def rows_needed(counted: np.ndarray, tokens: int) -> int:
    """How many first rows hold `tokens` counted tokens. Raises NotEnoughTokens."""
    reached = np.cumsum(counted)
    if not len(reached) or tokens > reached[-1]:
        has = int(reached[-1]) if len(reached) else 0
        raise NotEnoughTokens(f"Asked for {tokens:,} tokens; the corpus has {has:,}. Ask for fewer.")
    # The first row at which the running count reaches `tokens`; + 1 makes its index a number of rows.
    return int(np.searchsorted(reached, max(tokens, 1))) + 1
