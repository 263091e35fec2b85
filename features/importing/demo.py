"""What is in the demo bundle, and how does it become rows? Without loading the model: a start is quick."""

import hashlib
import json
import logging
import lzma
import shutil

from django.conf import settings

from ..engine.corpus import token_rows
from ..engine.corpus.document_table import NO_TABLE, DocumentTable, open_table, starts_after_eos, why_not_whole
from ..engine.corpus.documents import read_documents
from ..engine.files import sha256, whole_file
from ..engine.model.config import context_length, dimensions
from ..engine.model.vocabulary import Vocabulary
from ..models import SAE, Corpus
from . import provenance
from .register import register_corpus, register_sae

log = logging.getLogger(__name__)

BUNDLE = settings.BASE_DIR / "features" / "demo"
MODEL, CHECKPOINT, TEXTS = BUNDLE / "model", BUNDLE / "sae", BUNDLE / "corpus"
ROWS = BUNDLE / "rows"  # what a start would take ten seconds to make of the texts; see `pack_rows`
SLUG, CORPUS_SLUG = "gelu-1l-mini", "demo"


def load() -> tuple[SAE, bool]:
    """The demo's SAE, and whether anything had to be done for it."""
    before = _stored_rows()
    path = _rows_path()
    wrong = why_not_whole(path) if path.exists() else ""
    if not path.exists() or wrong not in ("", NO_TABLE):
        if wrong:
            log.warning("The demo's corpus is made again. %s", wrong)
        _build_rows(path)
    if open_table(path) is None:  # rows of earlier versions: the same ones, of which only the documents are not known
        _add_documents(path)
    notice = (TEXTS / "NOTICE.md").read_text()
    vocabulary = Vocabulary.load(MODEL)  # here: it is the bundle's own
    named = {"name": "Demo corpus", "licence": notice}
    corpus = register_corpus(CORPUS_SLUG, path, **named, model_path=MODEL, vocabulary=vocabulary)
    stated = facts()
    name = f"{stated['model_name']}, {stated['d_sae']:,} features"
    stated |= {"provenance": provenance.of_model(MODEL, vocabulary)}
    sae = register_sae(SLUG, CHECKPOINT, MODEL, corpus, name=name, facts=stated)
    return sae, before != _stored_rows()


def facts() -> dict:
    """As `register.facts_of` finds them, read from the bundle's own files."""
    config = json.loads((CHECKPOINT / "cfg.json").read_text())
    return {
        "model_name": config["metadata"]["model_name"],
        "hook_point": config["metadata"]["hook_name"],
        "format": "saelens",
        "dtype": config["dtype"],
        "prepend_bos": config["metadata"]["prepend_bos"],
        "d_in": config["d_in"],
        "d_sae": config["d_sae"],
        "neurons": True,
        "total_effect": dimensions(MODEL)["n_layers"] == 1,
    }


def _stored_rows():
    rows = Corpus.objects.filter(slug=CORPUS_SLUG), SAE.objects.filter(slug=SLUG)
    return [list(queryset.values()) for queryset in rows]


def _rows_path():
    """Named for what it is made of: other texts or another tokenizer make another file."""
    digest = hashlib.sha256()
    for file in [*sorted(TEXTS.glob("*.txt")), MODEL / "tokenizer.json", MODEL / "config.json"]:
        digest.update(sha256(file).encode())
    return settings.DATA_DIR / "corpora" / f"{CORPUS_SLUG}-{digest.hexdigest()[:12]}.npy"


def _build_rows(path):
    """From the bundle, where it has the rows of just these texts and this tokenizer; else from the texts."""
    packed = ROWS / f"{path.stem}.npy.xz"
    if not packed.exists():
        return _tokenise(path)
    with whole_file(path) as unfinished, lzma.open(packed) as source, unfinished.open("wb") as file:
        shutil.copyfileobj(source, file)
    _add_documents(path)


def _tokenise(path):
    built = token_rows.build_corpus(read_documents(TEXTS).shuffled(), Vocabulary.load(MODEL), context_length(MODEL))
    token_rows.save_rows(path, built.rows)
    built.table.save(path)


def _add_documents(path):
    """The table beside rows that are there, without tokenising: each document ends with EOS, and nothing else does."""
    rows = token_rows.open_rows(path)
    starts = starts_after_eos(rows, Vocabulary.load(MODEL).eos_id, bos=True)
    documents = read_documents(TEXTS).shuffled()
    DocumentTable.of(documents, starts[: len(documents)], rows.size).save(path)


def pack_rows() -> None:
    """Makes the bundle's rows anew from its texts, in place of what is there. Some 20 s"""
    path = _rows_path()
    _tokenise(path)
    shutil.rmtree(ROWS, ignore_errors=True)
    ROWS.mkdir()
    (ROWS / f"{path.stem}.npy.xz").write_bytes(lzma.compress(path.read_bytes()))
