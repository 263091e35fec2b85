"""How does any text become a corpus for a model? Rows are built beside their row, and kept for the next time."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.text import slugify

from ..engine.corpus import token_rows
from ..engine.corpus.documents import document_files
from ..engine.files import sha256
from ..engine.model.config import context_length
from ..engine.model.vocabulary import Vocabulary
from ..models import Corpus
from .register import register_corpus, tokenizer_hash

LENGTH = 128  # tokens of a row, where the model reads as many


@dataclass(frozen=True)
class BuiltCorpus:
    """Token rows on disk that only lack their row in the database."""

    slug: str
    name: str
    path: Path
    model_path: Path
    bos: bool
    licence: str = ""

    def register(self) -> Corpus:
        return register_corpus(
            self.slug, self.path, name=self.name, bos=self.bos, licence=self.licence, model_path=self.model_path
        )


def build(path, model_path, *, name="", slug="", licence="", length=None, bos=None, files=None) -> BuiltCorpus:
    """Rows of the text or token ids at `path` for a model; read from disk where they were built before.

    `files` chooses among those below a folder; else all that lie in it are read.
    BOS stands in front of each row unless `bos` is False or the tokenizer has none; ids keep what they have.
    Raises CorpusError, TokenizerMissing.
    """
    path, model_path = Path(path).expanduser().absolute(), Path(model_path)
    vocabulary, length = Vocabulary.load(model_path), row_length(model_path, length)
    bos = vocabulary.bos_id is not None if bos is None else bos
    fingerprint = _fingerprint(path, files, tokenizer_hash(model_path), length, bos)
    slug = slug or f"{slugify(path.stem)[:30] or 'text'}-{fingerprint[:6]}"
    file = settings.DATA_DIR / "corpora" / f"{slug}-{fingerprint[:12]}.npy"
    if not file.exists():
        token_rows.save_rows(file, _rows(path, files, vocabulary, length, bos, context_length(model_path)))
    if path.suffix == ".npy":
        bos = token_rows.starts_with_bos(token_rows.open_rows(file), vocabulary)
    return BuiltCorpus(slug, name or path.stem, file, model_path, bos, licence)


def row_length(model_path, asked: int | None = None) -> int:
    """Tokens of a row: what was asked for, at most what the model reads. Raises CorpusError."""
    longest = context_length(model_path)
    if asked is None:
        return min(LENGTH, longest or LENGTH)
    if not 2 <= asked <= (longest or asked):
        raise token_rows.CorpusError(f"Rows of {asked:,} tokens were asked for; this model reads 2 to {longest:,}.")
    return asked


def _rows(path: Path, files, vocabulary: Vocabulary, length: int, bos: bool, longest: int | None):
    if path.suffix == ".npy":
        return _of_context(token_rows.rows_from_ids(path, vocabulary, length), path, longest)
    documents = token_rows.shuffled(token_rows.read_documents(path, files=files))
    return token_rows.build_rows(documents, vocabulary, length, bos)


def _of_context(rows, path: Path, longest: int | None):
    if longest and rows.shape[1] > longest:
        raise token_rows.CorpusError(
            f"{path} has rows of {rows.shape[1]:,} ids; this model reads {longest:,}. Cut them, or give one sequence."
        )
    return rows


def _fingerprint(path: Path, files, *more) -> str:
    """Changes with the text, the tokenizer and the shape of the rows."""
    digest = hashlib.sha256(repr(more).encode())
    for file in files or ([path] if path.suffix == ".npy" and path.is_file() else document_files(path)):
        digest.update(f"{file.name} {sha256(file)}\n".encode())
    return digest.hexdigest()
