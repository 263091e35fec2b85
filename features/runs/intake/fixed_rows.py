"""On which text are all checkpoints of a run compared? Rows drawn once from its corpus with a seed, for all of them."""

import hashlib
import shutil
from pathlib import Path

from django.conf import settings

from ...engine.activity.strongest import drawn_rows
from ...engine.corpus.token_rows import open_rows, save_rows
from ...importing.register import register_corpus
from ...models import SAE, Corpus
from ...storage import verdicts
from ...storage.readers import vocabulary_in

SEED, FLOAT = 0, 4  # FLOAT: bytes of an activation
UNKNOWN = "Whether the trainer read these rows is not known."


def drawn_from(source: Corpus, model_path) -> Corpus:
    """SAEVIZ_RUN_TOKENS counted tokens of a corpus, or all it has; a corpus of its own, made once."""
    tokens = settings.SAEVIZ_RUN_TOKENS
    digest = hashlib.sha256(f"{source.sha256} {source.first} {tokens} {SEED}".encode()).hexdigest()[:12]
    slug = f"run-rows-{digest}"
    path = settings.DATA_DIR / "corpora" / f"{slug}.npy"
    before = Corpus.objects.filter(slug=slug).first()
    if before and path.exists():
        return before
    rows = open_rows(source.path)
    drawn = drawn_rows(rows, vocabulary_in(model_path).special, tokens, SEED)
    if not path.exists():
        save_rows(path, rows[drawn])
    return register_corpus(
        slug,
        path,
        name=f"{len(drawn):,} rows of {source.name}",
        bos=source.bos,
        licence=source.licence,
        model_path=model_path,
        skipped=source.skipped,
        notes=[f"Rows drawn from {source.name} with seed {SEED}: at least {tokens:,} tokens, or all. {UNKNOWN}"],
    )


def kept_beside(corpus: Corpus, sae: SAE) -> Path | None:
    """Where what all checkpoints at this place have in common is kept (engine/training/kept_rows.py), at most
    SAEVIZ_RUN_KEPT bytes for all runs: the longest unused gives way. None where it does not fit."""
    needed, most = corpus.rows * corpus.row_length * sae.d_in * FLOAT, settings.SAEVIZ_RUN_KEPT
    if needed > most:
        return None
    # By what the model is, not where it lies: losses change with weights that activations here do not depend on.
    place = hashlib.sha256(f"{verdicts.identity(sae.model_path)} {sae.hook_point}".encode()).hexdigest()[:12]
    folder = _kept() / f"{corpus.slug}-{place}"
    others = [each for each in _folders() if each != folder]
    for other in sorted(others, key=lambda each: each.stat().st_mtime):
        if needed + sum(map(_size, others)) <= most:
            break
        shutil.rmtree(other, ignore_errors=True)
        others = [each for each in others if each != other]
    folder.mkdir(parents=True, exist_ok=True)
    folder.touch()
    return folder


def kept_of(corpus: Corpus) -> int:
    """Bytes that are kept beside a run's rows."""
    return sum(_size(each) for each in _folders() if each.name.startswith(f"{corpus.slug}-"))


def free(corpus: Corpus) -> None:
    """Remove them; the next checkpoint's pass has the model read the rows again."""
    for each in _folders():
        if each.name.startswith(f"{corpus.slug}-"):
            shutil.rmtree(each, ignore_errors=True)


def _kept() -> Path:
    return settings.DATA_DIR / "run-rows"


def _folders() -> list[Path]:
    return [each for each in _kept().glob("run-rows-*") if each.is_dir()]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
