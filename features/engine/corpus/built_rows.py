"""Files of text to token rows and their table on disk, in one call: for a process of its own, as parquet, archives and
tokenizers may take memory and time without end."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..model.vocabulary import Vocabulary
from ..text.chat import chat_template
from .documents import read_documents
from .text_field import TextField
from .token_rows import build_corpus, save_rows
from .unpacking import MAX_BYTES


@dataclass(frozen=True)
class RowsOfText:
    """What is read, and how."""

    path: Path
    files: tuple[Path, ...]  # all of `path` that are read; empty: those that its kind has
    model: Path  # the folder of the tokenizer and its chat template
    length: int
    bos: bool
    field: str = ""  # of rows that holds the text
    kind: str = ""  # that says a document's kind
    special: bool = False  # text that spells a special token is that token
    most: int = MAX_BYTES  # characters of text


def write_rows(wanted: RowsOfText, target: Path, say=lambda done: None) -> None:
    """Rows at `target`, and their table beside it. `say(documents tokenised)`. Raises CorpusError, TokenizerMissing,
    ChatError."""
    text = TextField(wanted.field, chat=chat_template(wanted.model))
    documents = read_documents(wanted.path, wanted.most, list(wanted.files) or None, text, wanted.kind)
    documents = replace(documents, special=documents.special or wanted.special)
    vocabulary = Vocabulary.load(wanted.model)
    built = build_corpus(documents.shuffled(), vocabulary, wanted.length, wanted.bos, say)
    save_rows(target, built.rows)
    built.table.save(target)
