"""How do an SAE and a corpus on disk become rows of the site? Registering again changes only what changed."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..engine.corpus.document_table import open_table
from ..engine.corpus.token_rows import countable, open_rows
from ..engine.files import sha256
from ..engine.model.vocabulary import Vocabulary
from ..models import SAE, Corpus
from ..storage import recognition, relocation, verdicts
from ..storage.opened import description_of
from ..storage.readers import vocabulary_in
from . import language_models

FIGURES_REST_ON = {  # what an SAE's figures were computed with
    "checkpoint_hash": "its weights",
    "configs_hash": "the configs they are read with",
    "answers": "the answers they are read with",
    "hook_point": "the hook point",
    "model_path": "the language model",
}
READ_ALIKE = ("hook_point", "model_path")  # what an SAE and its encoder B have in common


def measured(path, first: int, vocabulary: Vocabulary | None) -> dict:
    """Fields of a corpus that take a look at all of its rows, where they were not taken of these files already: who
    registers it within a transaction asks before, so that no other writer waits for a large file."""
    beside = sorted(Path(path).parent.glob(f"{Path(path).stem}*"))  # its table of documents, too
    looks = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in beside)
    return dict(_measured(str(path), looks, first, vocabulary))


@lru_cache(maxsize=8)
def _measured(path: str, looks: tuple, first: int, vocabulary: Vocabulary | None) -> dict:
    tokens, digest = open_rows(path), sha256(path)
    rows, length = tokens.shape
    table = open_table(path, digest)
    counted = {} if vocabulary is None else {"counted": countable(tokens[:, first:], vocabulary)}
    about = {"documents": table and len(table), "kinds": table and table.tokens_by_kind()}
    return {"rows": rows, "row_length": length, "sha256": digest} | counted | about


def register_corpus(
    slug: str,
    path,
    *,
    name: str,
    bos: bool = True,
    licence: str = "",
    model_path=None,
    notes: Sequence[str] = (),
    skipped: int = 0,
    vocabulary: Vocabulary | None = None,
) -> Corpus:
    """A row for the token rows at `path`. Statistics of other rows under this name are shown no longer.

    With the folder of the model whose tokenizer made them, the row knows both it and how many tokens count; with a
    table of documents beside the rows, how many there are, and of which kinds. `notes`: what was assumed of the text;
    `skipped` positions of each row, after BOS, are not counted.
    """
    vocabulary = (vocabulary or vocabulary_in(model_path)) if model_path is not None else None
    fields = {"path": str(path), "name": name, "bos": bos, "licence": licence, "notes": list(notes), "skipped": skipped}
    fields |= measured(path, bos + skipped, vocabulary)
    if vocabulary is not None:
        fields |= {"tokenizer": tokenizer_hash(model_path), "eos": vocabulary.eos.text}
    before = Corpus.objects.filter(slug=slug).first()
    corpus, _ = Corpus.objects.update_or_create(slug=slug, defaults=fields)
    if before and before.sha256 != corpus.sha256:
        SAE.objects.filter(statistics__corpus=corpus).update(statistics=None)
    return corpus


def tokenizer_hash(model_path) -> str:
    return sha256(Path(model_path) / "tokenizer.json")


def register_sae(slug: str, path, model_path, corpus: Corpus, *, name: str, answers=None, facts=None) -> SAE:
    """A row for the checkpoint at `path`. Statistics of another one under this name are shown no longer, and neither
    are those of the same weights, read in another way; `.note` of the row then says so, and is empty otherwise.

    `facts` as from `facts_of`, which loads the model to find them, where the caller knows none. With the fingerprint
    of the files among them, a row of this name has been recognised; else both is done here, which may take long.
    """
    fields = {"path": str(path), "model_path": str(model_path), "name": name, "corpus": corpus}
    fields |= {"answers": answers or {}} | (facts or facts_of(path, model_path, answers))
    if "checkpoint_hash" not in fields:
        fields |= (fingerprint := recognition.fingerprint(path))
        recognition.recognise_named(slug, path, fingerprint)
    before = SAE.objects.filter(slug=slug).first()
    changed = [name for name in FIGURES_REST_ON if before and not _same(name, before, fields)]
    if changed:
        fields |= {"statistics": None, "verification": None}
    if before and any(not _same(name, before, fields) for name in READ_ALIKE):
        fields.setdefault("encoder_b", None)  # that of another place
    sae = SAE.objects.update_or_create(slug=slug, defaults=fields)[0]
    sae.note = _note(before, changed)
    return sae


def _same(name: str, before: SAE, fields: dict) -> bool:
    """Whether a field says the same as before; of a model's path also where the same weights lie elsewhere now."""
    if getattr(before, name) == fields[name]:
        return True
    return name == "model_path" and relocation.is_same_model(before, fields[name])


def _note(before: SAE | None, changed: list[str]) -> str:
    """What became of the statistics that were shown."""
    if not changed or before.statistics_id is None:
        return ""
    whose = "another checkpoint" if "checkpoint_hash" in changed else "another reading of the same weights"
    what = ", ".join(FIGURES_REST_ON[name] for name in changed)
    return f"The statistics shown so far are those of {whose} and are shown no longer: changed are {what}."


def facts_of(path, model_path, answers=None) -> dict:
    """What a loaded model and SAE say of themselves. Raises the engine's errors where they do not fit."""
    from ..engine.subject import Subject

    hook_point = description_of(path, answers).subject["hook_point"]
    vocabulary = vocabulary_in(model_path)
    found = verdicts.find(model_path) or verdicts.look(model_path, vocabulary)
    return facts_from(Subject.load(model_path, path, hook_point, "cpu", answers, found, vocabulary), model_path)


def facts_from(subject, model_path) -> dict:
    """The same, of a subject that is loaded."""
    config = subject.sae.config
    return {
        "model_name": language_models.name_of(Path(model_path)),
        "hook_point": subject.hook_point,
        "format": config.format,
        "dtype": config.dtype,
        "prepend_bos": config.prepend_bos,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "neurons": subject.reads_neurons,
        "total_effect": subject.total_effect,
        "verdict": verdicts.record(model_path, subject.verdict),
    }
