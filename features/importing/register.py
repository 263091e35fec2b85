"""How do an SAE and a corpus on disk become rows of the site? Registering again changes only what changed."""

import hashlib
import json
from pathlib import Path

from ..engine.corpus.token_rows import countable, open_rows, sha256
from ..engine.model.vocabulary import Vocabulary
from ..models import SAE, Corpus
from ..storage import findings_file

FIGURES_REST_ON = ("checkpoint_hash", "hook_point", "model_path", "answers")
READ_ALIKE = ("hook_point", "model_path")  # what an SAE and its encoder B have in common


def register_corpus(slug: str, path, *, name: str, bos: bool = True, licence: str = "", model_path=None) -> Corpus:
    """A row for the token rows at `path`. Statistics of other rows under this name are shown no longer.

    With the folder of the model whose tokenizer made them, the row knows both it and how many tokens count.
    """
    tokens = open_rows(path)
    rows, length = tokens.shape
    found = {"path": str(path), "name": name, "rows": rows, "row_length": length, "bos": bos}
    found |= {"sha256": sha256(path), "licence": licence}
    if model_path is not None:
        found |= {"tokenizer": tokenizer_hash(model_path), "counted": countable(tokens, Vocabulary.load(model_path))}
    before = Corpus.objects.filter(slug=slug).first()
    corpus, _ = Corpus.objects.update_or_create(slug=slug, defaults=found)
    if before and before.sha256 != corpus.sha256:
        SAE.objects.filter(statistics__corpus=corpus).update(statistics=None)
    return corpus


def tokenizer_hash(model_path) -> str:
    return sha256(Path(model_path) / "tokenizer.json")


def register_sae(slug: str, path, model_path, corpus: Corpus, *, name: str, answers=None, facts=None) -> SAE:
    """A row for the checkpoint at `path`. Statistics of another one under this name are shown no longer.

    `facts` as from `facts_of`, which loads the model to find them, where the caller knows none.
    """
    found = {"path": str(path), "model_path": str(model_path), "name": name, "corpus": corpus}
    found |= {"answers": answers or {}} | (facts or facts_of(path, model_path, answers))
    found.setdefault("checkpoint_hash", checkpoint_hash(path))
    before = SAE.objects.filter(slug=slug).first()
    if before and any(getattr(before, name) != found[name] for name in FIGURES_REST_ON):
        found |= {"statistics": None, "verification": None}
    if before and any(getattr(before, name) != found[name] for name in READ_ALIKE):
        found.setdefault("encoder_b", None)  # that of another place
    return SAE.objects.update_or_create(slug=slug, defaults=found)[0]


def facts_of(path, model_path, answers=None) -> dict:
    """What a loaded model and SAE say of themselves. Raises the engine's errors where they do not fit."""
    from ..engine.sae.checkpoint import describe
    from ..engine.subject import Subject

    hook_point = describe(path, answers=answers).subject["hook_point"]
    return facts_from(Subject.load(model_path, path, hook_point, device="cpu", answers=answers), model_path)


def facts_from(subject, model_path) -> dict:
    """The same, of a subject that is loaded."""
    config = subject.sae.config
    return {
        "model_name": config.model_name or Path(model_path).name,
        "hook_point": subject.hook_point,
        "format": config.format,
        "dtype": config.dtype,
        "prepend_bos": config.prepend_bos,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "neurons": subject.reads_neurons,
        "total_effect": subject.total_effect,
    }


def checkpoint_hash(path) -> str:
    """One hash of a checkpoint's files, names included; for the demo, whose files are all its own.

    What people have found in it is no part of it: a better sentence leaves the statistics as they are.
    """
    path = Path(path)
    files = (
        sorted(p for p in path.rglob("*") if p.is_file() and p.name != findings_file.FILE) if path.is_dir() else [path]
    )
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(path.parent)} {sha256(file)}\n".encode())
    return whole.hexdigest()


def config_of(folder) -> dict:
    return json.loads((Path(folder) / "config.json").read_text())
