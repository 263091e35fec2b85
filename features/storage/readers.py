"""Which tokens and texts does a page read? One vocabulary per model folder, one memory map per corpus."""

from functools import lru_cache

import numpy as np

from ..engine.corpus import token_rows
from ..engine.model.vocabulary import Vocabulary
from ..models import SAE, Corpus


def vocabulary_of(sae: SAE) -> Vocabulary:
    """The vocabulary of the SAE's language model; read from disk once per process."""
    return _vocabulary(sae.model_path)


def rows_of(corpus: Corpus) -> np.ndarray:
    """The corpus as token rows, memory-mapped once per process.  [rows, length]"""
    return _rows(corpus.path, corpus.sha256)


@lru_cache(maxsize=8)
def _vocabulary(model_path: str) -> Vocabulary:
    return Vocabulary.load(model_path)


@lru_cache(maxsize=16)
def _rows(path: str, sha256: str) -> np.ndarray:  # the hash is in the key: a rebuilt file is mapped anew
    return token_rows.open_rows(path)
