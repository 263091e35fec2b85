"""Documents to equal rows of tokens, in a fixed order, read from any starting row."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..files import sha256, whole_file
from ..foreign_files import reason, stand_in
from ..model.vocabulary import Vocabulary
from .document_table import DocumentTable, places_of
from .documents import Documents
from .errors import CorpusError

BATCH = 512  # documents tokenised at a time
LONGEST = 2**15  # tokens of a row: positions are kept in int16
LENGTH = 128  # tokens of a row, where the model reads as many and nobody asks for more


@dataclass(frozen=True)
class PackedRows:
    """Rows of tokens, and the documents that they were cut from."""

    rows: np.ndarray  # [n, length] uint16, or uint32 for larger vocabularies
    table: DocumentTable


def build_corpus(
    documents: Documents, vocabulary: Vocabulary, length: int, bos: bool = True, say=lambda done: None
) -> PackedRows:
    """The rows of documents in their order, and the table that says where each begins; `say(documents tokenised)`.
    Raises as `build_rows`."""
    ids = _token_ids(documents.texts, vocabulary, documents.special, say)
    stream, starts = _stream(ids, vocabulary)
    rows = _cut(stream, vocabulary, length, bos)
    return PackedRows(rows, DocumentTable.of(documents, places_of(starts, length, bos), rows.size))


def build_rows(texts: Iterable[str], vocabulary: Vocabulary, length: int, bos: bool = True) -> np.ndarray:
    """Pack texts into rows of `length` tokens: each text closed by EOS if the tokenizer has one, BOS in front of a row.

    The last, incomplete row is dropped. [rows, length] uint16, or uint32 for larger vocabularies. Raises
    CorpusError when there is less text than one row, or rows are longer than LONGEST.
    """
    return pack(_token_ids(texts, vocabulary), vocabulary, length, bos)


def pack(documents: Iterable[Sequence[int]], vocabulary: Vocabulary, length: int, bos: bool = True) -> np.ndarray:
    """The same of documents that are token ids already."""
    return _cut(_stream(documents, vocabulary)[0], vocabulary, length, bos)


def refuse_longer(length: int) -> None:
    """Raises CorpusError for rows longer than LONGEST: positions beyond would come out as others."""
    if length > LONGEST:
        raise CorpusError(f"Rows of {length:,} tokens: at most {LONGEST:,} are read. Make them shorter.")


def _cut(stream: np.ndarray, vocabulary: Vocabulary, length: int, bos: bool) -> np.ndarray:
    refuse_longer(length)
    if bos and vocabulary.bos_id is None:
        raise CorpusError("Rows should start with BOS, but the tokenizer names none. Build them with bos=False.")
    # BOS takes the first of a row's places.
    width = length - bos
    count = len(stream) // width
    if not count:
        raise CorpusError(f"The text has {len(stream):,} tokens; one row needs {width:,}. Add text.")
    rows = stream[: count * width].reshape(count, width)  # [rows, width]
    if not bos:
        return rows
    return np.concatenate([np.full((count, 1), vocabulary.bos_id, dtype=stream.dtype), rows], axis=1)


def _stream(ids: Iterable[Sequence[int]], vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """All documents' tokens behind each other, each closed by EOS; where each begins. [tokens], [documents] int64"""
    end = [] if vocabulary.eos_id is None else [vocabulary.eos_id]
    parts, sizes = [np.empty(0, smallest_dtype(vocabulary))], []
    for document in ids:
        ends = list(document[-1:]) == end  # a chat's template may have closed it
        parts.append(np.fromiter(chain(document, () if ends else end), parts[0].dtype))
        sizes.append(len(parts[-1]))
    return np.concatenate(parts), np.cumsum([0, *sizes])[:-1]


def _token_ids(
    texts: Iterable[str], vocabulary: Vocabulary, special: bool = False, say=lambda done: None
) -> Iterator[list[int]]:
    """Of each text, a batch of them tokenised at a time; without the BOS that a chat's template begins with."""
    for number, batch in enumerate(_batches(texts)):
        say(number * BATCH)
        for ids in vocabulary.many_ids(batch, special):
            yield ids[1:] if special and ids[:1] == [vocabulary.bos_id] else ids


def smallest_dtype(vocabulary: Vocabulary) -> type:
    """Two bytes hold the ids of most vocabularies (GPT-2's has 50,257), at half the size on disk."""
    return np.uint16 if vocabulary.size <= 2**16 else np.uint32


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

    Raises CorpusError where it holds no whole numbers, ids that the vocabulary has not, or rows longer than LONGEST.
    """
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(stand_in(path) or f"Cannot read token ids from {path}: {reason(error)}") from error
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2) or not ids.size:
        raise CorpusError(f"{path} holds {ids.dtype} of shape {ids.shape}; whole numbers, 1-D or 2-D, are needed.")
    refuse_longer(ids.shape[1] if ids.ndim == 2 else length)
    # All ids are looked at: one beyond the embedding would stop a pass over the corpus in its middle.
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= vocabulary.size:
        raise CorpusError(
            f"{path} holds ids from {lowest:,} to {highest:,}; this tokenizer has 0 to {vocabulary.size - 1:,}. "
            "Was it made with another tokenizer?"
        )
    if ids.ndim == 2 and ids.shape[1] < 2:
        raise CorpusError(
            f"{path} has rows of {ids.shape[1]} token: nothing stands before or after it. Give rows of 2 and more, "
            "or one sequence: ids.ravel()."
        )
    if ids.ndim == 1:
        if len(ids) < length:
            raise CorpusError(f"{path} has {len(ids):,} ids; one row needs {length:,}. Add tokens.")
        ids = ids[: len(ids) // length * length].reshape(-1, length)
    return ids.astype(smallest_dtype(vocabulary))


def countable(rows: np.ndarray, vocabulary: Vocabulary) -> int:
    """How many of the tokens are not special ones."""
    # By 4,096 rows: the rows may be a memory map, and the mask of all of them would not be one.
    parts = np.array_split(rows, max(1, len(rows) // 4096))
    return sum(int(counted_mask(part, vocabulary.special).sum()) for part in parts)


def starts_with_bos(rows: np.ndarray, vocabulary: Vocabulary) -> bool:
    """Whether every row begins with BOS."""
    return vocabulary.bos_id is not None and bool((rows[:, 0] == vocabulary.bos_id).all())


def open_rows(path) -> np.ndarray:
    """Token rows as a memory map: only what is read is loaded. [rows, length]

    Raises CorpusError when the file is missing, cut short or not a two-dimensional array of ids.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorpusError(stand_in(path) or f"Cannot read token rows from {path}: {reason(error)}") from error
    if rows.ndim != 2 or rows.dtype.kind != "u":
        raise CorpusError(f"{path} holds {rows.dtype} of shape {rows.shape}; token rows are unsigned, 2-D.")
    return rows


class NotEnoughTokens(ValueError):
    """More tokens were asked for than the corpus has."""


def counted_mask(ids: np.ndarray, special: Collection[int]) -> np.ndarray:
    """Which ids [...] are counted: all but special ones. [...] bool. Same as reference.counted: exact."""
    return ~np.isin(ids, sorted(special))


def counted_tokens(rows: np.ndarray, special: set[int]) -> np.ndarray:
    """How many tokens of each row are counted: all but special ones. [n] int64. The row sums of reference.counted:
    exact."""
    return counted_mask(rows, special).sum(1) if special else np.full(len(rows), rows.shape[1])


def rows_needed(counted: np.ndarray, tokens: int) -> int:
    """How many first rows hold `tokens` counted tokens. Raises NotEnoughTokens."""
    reached = np.cumsum(counted)
    if not len(reached) or tokens > reached[-1]:
        has = int(reached[-1]) if len(reached) else 0
        raise NotEnoughTokens(f"Asked for {tokens:,} tokens; the corpus has {has:,}. Ask for fewer.")
    # The first row at which the running count reaches `tokens`; + 1 makes its index a number of rows.
    return int(np.searchsorted(reached, max(tokens, 1))) + 1
