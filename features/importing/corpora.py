"""How does any text become a corpus for a model? Rows are built beside their row, and kept for the next time."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings
from django.utils.text import slugify

from ..engine.confined.process import ChildEnded
from ..engine.corpus import token_rows
from ..engine.corpus.built_rows import RowsOfText
from ..engine.corpus.document_table import NO_TABLE, open_table, why_not_whole
from ..engine.corpus.documents import document_files
from ..engine.corpus.unpacking import MAX_BYTES
from ..engine.files import sha256
from ..engine.foreign_files import in_words
from ..engine.model.config import context_length
from ..engine.model.confined_vocabulary import ConfinedVocabulary
from ..engine.text.chat import template_source
from ..models import Corpus
from ..storage.opened import TEXTS, opened
from ..storage.readers import vocabulary_in
from .folders import links_led
from .register import measured, register_corpus, tokenizer_hash

TIMES = 16  # bytes of memory for each of a text's files, and characters that one of a packed file may become
NOTHING_BETWEEN = (
    "Nothing stands between documents: {said}. Name the token in tokenizer_config.json (eos_token) and add the text "
    "again."
)


@dataclass(frozen=True)
class BuiltCorpus:
    """Token rows on disk that only lack their row in the database."""

    slug: str
    name: str
    path: Path
    model_path: Path
    bos: bool
    licence: str = ""
    notes: tuple[str, ...] = ()  # what was assumed, skipped or mended
    named: bool = True  # somebody gave the short name
    skipped: int = 0  # positions of each row, after BOS, that are not counted

    def register(self) -> Corpus:
        """Its row. Rows that an earlier version registered, without their documents, keep its name and figures."""
        same = None if self.named else self._same()
        return register_corpus(
            same.slug if same else self.slug,
            self.path,
            name=same.name if same else self.name,
            bos=self.bos,
            licence=self.licence or (same.licence if same else ""),
            model_path=self.model_path,
            notes=self.notes,
            skipped=self.skipped,
        )

    def measured(self) -> dict:
        """What its row says that takes a look at all of it: before a transaction, once."""
        return measured(self.path, self.bos + self.skipped, vocabulary_in(self.model_path))

    def _same(self) -> Corpus | None:
        hashes = {"sha256": self.measured()["sha256"], "tokenizer": tokenizer_hash(self.model_path)}
        return Corpus.objects.filter(bos=self.bos, skipped=self.skipped, documents=None, **hashes).first()


@dataclass(frozen=True)
class TextOptions:
    """How the texts of a corpus are read."""

    field: str = ""  # of the rows that holds the text; empty: "text"
    kind: str = ""  # "folder", "file", or the field that says a document's kind; empty: folders, else files
    special: bool = False  # text that spells a special token is that token
    skipped: int = 0  # positions of each row, after BOS, that are not counted


def build(
    path,
    model_path,
    *,
    name="",
    slug="",
    licence="",
    length=None,
    bos=None,
    files=None,
    options: TextOptions | None = None,
    tick: Callable[[], None] | None = None,
) -> BuiltCorpus:
    """Rows of the text or token ids at `path` for a model; read from disk where they were built before.

    `files` chooses among those below a folder; else all that lie in it are read. Texts are opened in a child of this
    process: what `tick` raises, which is called meanwhile, ends it.
    BOS stands in front of each row unless `bos` is False or the tokenizer has none; ids keep what they have.
    Raises CorpusError, TokenizerMissing, ChatError.
    """
    # Made absolute, never resolved: the hub's cache is made of links, whose names say what they are.
    path, model_path = Path(path).expanduser().absolute(), Path(model_path)
    options = options or TextOptions()
    vocabulary, length = vocabulary_in(model_path), row_length(model_path, length)
    bos = vocabulary.bos_id is not None if bos is None else bos
    tokens = tokenizer_hash(model_path), vocabulary.eos_id, template_source(model_path)
    if length - bos - options.skipped < 1:
        raise token_rows.CorpusError(
            f"Of rows of {length:,} tokens {options.skipped:,} are to be left out, and none is left. Leave out fewer."
        )
    fingerprint = _fingerprint(path, files, tokens, length, bos, options)
    named, slug = bool(slug), slug or f"{slugify(path.stem)[:30] or 'text'}-{fingerprint[:6]}"
    file = settings.DATA_DIR / "corpora" / f"{slug}-{fingerprint[:12]}.npy"
    if path.suffix == ".npy":
        if not file.exists():
            token_rows.save_rows(file, _rows_of_ids(path, vocabulary, length, context_length(model_path)))
        bos, notes = token_rows.starts_with_bos(token_rows.open_rows(file), vocabulary), []
    else:
        how = options.field, options.kind, options.special
        mended = _made_whole(RowsOfText(path, tuple(files or ()), model_path, length, bos, *how), file, tick)
        notes = [*mended, *open_table(file).notes, *_said_of_ends(vocabulary, bos)]
    notes += links_led([path, *_files_of(path, files)])
    if options.skipped:
        notes.append(
            f"The first {options.skipped:,} positions of each row{' after BOS' if bos else ''} are not counted."
        )
    return BuiltCorpus(slug, name or path.stem, file, model_path, bos, licence, tuple(notes), named, options.skipped)


def _made_whole(rows: RowsOfText, file: Path, tick) -> list[str]:
    """Writes rows that are not there, or no longer what they were; the latter is said."""
    wrong = why_not_whole(file) if file.exists() else NO_TABLE
    if not wrong:
        return []
    _write(rows, file, tick)
    return [] if wrong == NO_TABLE else [f"Damage was found, and the corpus made again. {wrong}"]


def row_length(model_path, asked: int | None = None) -> int:
    """Tokens of a row: what was asked for, at most what the model reads. Raises CorpusError."""
    longest = context_length(model_path)
    if asked is None:
        return min(token_rows.LENGTH, longest or token_rows.LENGTH)
    if not 2 <= asked <= (longest or asked):
        to = f"2 to {longest:,}" if longest else "2 or more"
        raise token_rows.CorpusError(f"Rows of {asked:,} tokens were asked for; this model reads {to}.")
    token_rows.refuse_longer(asked)
    return asked


def _write(rows: RowsOfText, file: Path, tick) -> None:
    size = sum(text.stat().st_size for text in rows.files or document_files(rows.path))
    # Read, shuffled and tokenised, a character takes some four bytes: beyond this it would be ended in the midst of it.
    rows = replace(rows, most=min(MAX_BYTES, settings.SAEVIZ_FILE_MEMORY // 4 + TIMES * size))
    what = f"{rows.path} ({size:,} bytes) with the tokenizer in {rows.model}"
    asked = "features.engine.corpus.built_rows:write_rows", rows, file
    try:
        opened(TEXTS, *asked, what=what, size=size, times=TIMES, tick=tick)
    except ChildEnded as ended:
        raise token_rows.CorpusError(str(ended)) from ended


def _said_of_ends(vocabulary: ConfinedVocabulary, bos: bool) -> list[str]:
    """What is not as one would expect of how rows begin and documents end."""
    said = [] if vocabulary.eos_id is not None else [NOTHING_BETWEEN.format(said=vocabulary.eos.said)]
    if not bos and vocabulary.bos_id is None:
        said.append(f"Rows start without BOS: {vocabulary.bos.said}.")
    # What a tokenizer's own file names needs no word; what only the model's config numbers was taken from there.
    tokens = (("BOS", vocabulary.bos), ("EOS", vocabulary.eos))
    said += [f"{role} is {token.text}, {token.said}." for role, token in tokens if token.said.startswith("as config")]
    return said


def _rows_of_ids(path: Path, vocabulary: ConfinedVocabulary, length: int, longest: int | None):
    rows = token_rows.rows_from_ids(path, vocabulary, length)
    if longest and rows.shape[1] > longest:
        raise token_rows.CorpusError(
            f"{path} has rows of {rows.shape[1]:,} ids; this model reads {longest:,}. Cut them, or give one sequence."
        )
    return rows


def _files_of(path: Path, files) -> list[Path]:
    return files or ([path] if path.suffix == ".npy" and path.is_file() else document_files(path))


def _fingerprint(path: Path, files, *more) -> str:
    """Changes with the text, the tokenizer, its EOS and template, how the text is read, and the shape of the rows."""
    digest = hashlib.sha256(repr(more).encode())
    for file in _files_of(path, files):
        name = file.relative_to(path) if path.is_dir() and file.is_relative_to(path) else file.name
        digest.update(f"{in_words(name)} {sha256(file)}\n".encode())
    return digest.hexdigest()
