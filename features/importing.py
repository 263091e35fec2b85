"""How do an SAE and a corpus on disk become rows of the site? Registering again changes only what changed."""

import hashlib
import json
from pathlib import Path

from .engine.corpus import open_rows, sha256
from .models import SAE, Corpus


def register_corpus(slug: str, path, *, name: str, bos: bool = True, licence: str = "") -> Corpus:
    """A row for the token rows at `path`. Statistics of other rows under this name are shown no longer."""
    rows, length = open_rows(path).shape
    found = {"path": str(path), "name": name, "rows": rows, "row_length": length, "bos": bos}
    found |= {"sha256": sha256(path), "licence": licence}
    before = Corpus.objects.filter(slug=slug).first()
    corpus, _ = Corpus.objects.update_or_create(slug=slug, defaults=found)
    if before and before.sha256 != corpus.sha256:
        SAE.objects.filter(statistics__corpus=corpus).update(statistics=None)
    return corpus


def register_sae(slug: str, path, model_path, corpus: Corpus, *, name: str, answers=None, facts=None) -> SAE:
    """A row for the checkpoint at `path`. Statistics of another one under this name are shown no longer.

    `facts` as from `facts_of`, which loads the model to find them, where the caller knows none.
    """
    found = {"path": str(path), "model_path": str(model_path), "name": name, "corpus": corpus}
    found |= {"answers": answers or {}, "checkpoint_hash": checkpoint_hash(path)}
    found |= facts or facts_of(path, model_path, answers)
    before = SAE.objects.filter(slug=slug).first()
    if before and before.checkpoint_hash != found["checkpoint_hash"]:
        found["statistics"] = None
    return SAE.objects.update_or_create(slug=slug, defaults=found)[0]


def facts_of(path, model_path, answers=None) -> dict:
    """What a loaded model and SAE say of themselves. Raises the engine's errors where they do not fit."""
    from .engine.formats import read_sae
    from .engine.subject import Subject

    config = read_sae(path, answers=answers).config
    subject = Subject.load(model_path, path, config.hook_point, device="cpu", answers=answers)
    return {
        "model_name": config.model_name or Path(model_path).name,
        "hook_point": config.hook_point,
        "format": config.format,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "neurons": subject.reads_neurons,
        "total_effect": subject.total_effect,
    }


def checkpoint_hash(path) -> str:
    """One hash of a checkpoint's files, names included."""
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(path.parent)} {sha256(file)}\n".encode())
    return whole.hexdigest()


def config_of(folder) -> dict:
    return json.loads((Path(folder) / "config.json").read_text())
