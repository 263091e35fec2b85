"""What do the rows of SAEs and corpora stand for? One vocabulary per model folder, one memory map per corpus.

Subjects are loaded anew by every call, and torch with the first of them.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from django.conf import settings

from ..engine.corpus import document_table, token_rows
from ..engine.corpus.errors import CorpusError
from ..engine.files import sha256 as hash_of
from ..engine.model.confined_vocabulary import ConfinedVocabulary, signature
from ..engine.text.chat import template_source
from ..models import SAE, Corpus
from . import verdicts

SHA256 = re.compile("[0-9a-f]{64}")
LOOKED_THROUGH = 1 << 28  # bytes of rows that a page may wait for, a second at most


def vocabulary_of(sae: SAE) -> ConfinedVocabulary:
    """The vocabulary of the SAE's language model; read from disk once per process, its tokenizer in a child of it."""
    return _vocabulary_of(sae.model_path)


def vocabulary_in(model_path) -> ConfinedVocabulary:
    """That of a model folder; read anew where its files have changed. Raises TokenizerMissing."""
    return _vocabulary(str(model_path), signature(Path(model_path)))


def chat_template_of(sae: SAE):
    """`write(messages, add_generation_prompt)` of the language model's tokenizer, or None; run where the tokenizer is.

    Raises TokenizerMissing, ChatError.
    """
    return vocabulary_of(sae).written if _has_chat_template(sae.model_path) else None


def rows_of(corpus: Corpus, *, however_large: bool = False) -> np.ndarray:
    """The corpus as token rows, memory-mapped once per process and look of the file.  [rows, length]

    Raises CorpusError where the file is gone, cut short or not the one that was added: files up to LOOKED_THROUGH
    bytes are read for that, larger ones where asked.
    """
    return _rows(corpus.path, corpus.sha256, _look(corpus.path), however_large)


def documents_of(corpus: Corpus) -> document_table.DocumentTable | None:
    """Which document, of which kind, each token is of; None where the corpus has no such table. Raises CorpusError."""
    return document_table.open_table(corpus.path, corpus.sha256)


def subject_of(sae: SAE, device: str = "auto"):
    """The `engine.subject.Subject` of an SAE's row; "auto" is the device of the settings.

    Raises ModelError, CheckpointError, TokenizerMissing or SubjectError.
    """
    from ..engine.subject import Subject

    device = settings.SAEVIZ_DEVICE if device == "auto" else device
    vocabulary = vocabulary_of(sae)
    return Subject.load(
        *(sae.model_path, sae.path, sae.hook_point),
        device=device,
        answers=sae.answers or None,
        verdict=verdicts.known(sae) or verdicts.look(sae.model_path, vocabulary),
        vocabulary=vocabulary,
    )


def autoencoder_of(sae: SAE):
    """The SAE of a row without its model, on the CPU. Raises CheckpointError."""
    from ..engine.sae.checkpoint import read_sae

    return read_sae(sae.path, answers=sae.answers or None)


@lru_cache(maxsize=8)
def _vocabulary_of(model_path: str) -> ConfinedVocabulary:  # also where its files are gone since
    return vocabulary_in(model_path)


@lru_cache(maxsize=8)
def _vocabulary(model_path: str, signature: tuple) -> ConfinedVocabulary:
    return ConfinedVocabulary.load(model_path)


@lru_cache(maxsize=8)
def _has_chat_template(model_path: str) -> bool:
    return bool(template_source(model_path))


def _look(path: str) -> tuple | None:
    """Who reads what a file no longer holds, by a map of it, is ended by the system: so it is mapped anew."""
    try:
        stat = Path(path).stat()
    except OSError:  # said by who opens it
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


@lru_cache(maxsize=16)
def _rows(path: str, sha256: str, look: tuple | None, however_large: bool) -> np.ndarray:
    rows = token_rows.open_rows(path)
    if SHA256.fullmatch(sha256) and (however_large or look[0] <= LOOKED_THROUGH) and (has := hash_of(path)) != sha256:
        raise CorpusError(
            f"{path} has changed since it was added as a corpus: its SHA-256 begins with {has[:12]}, that of the text "
            f"was {sha256[:12]}. Put the file back, or add the text again (manage.py add_corpus) and recompute."
        )
    return rows
