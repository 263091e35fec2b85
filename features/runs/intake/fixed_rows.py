"""On which text are all checkpoints of a run compared? Rows drawn once from its corpus with a seed, for all of them."""

import hashlib

from django.conf import settings

from ...engine.activity.strongest import drawn_rows
from ...engine.corpus.token_rows import open_rows, save_rows
from ...importing.register import register_corpus
from ...models import Corpus
from ...storage.readers import vocabulary_in

SEED = 0
UNKNOWN = "Whether the trainer read these rows is not known."


def drawn_from(source: Corpus, model_path, seed: int = SEED) -> Corpus:
    """SAEVIZ_RUN_TOKENS counted tokens of a corpus, or all it has; a corpus of its own, made once."""
    tokens = settings.SAEVIZ_RUN_TOKENS
    digest = hashlib.sha256(f"{source.sha256} {source.first} {tokens} {seed}".encode()).hexdigest()[:12]
    slug = f"run-rows-{digest}"
    path = settings.DATA_DIR / "corpora" / f"{slug}.npy"
    before = Corpus.objects.filter(slug=slug).first()
    if before and path.exists():
        return before
    rows = open_rows(source.path)
    drawn = drawn_rows(rows, vocabulary_in(model_path).special, tokens, seed)
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
        notes=[f"Rows drawn from {source.name} with seed {seed}: at least {tokens:,} tokens, or all. {UNKNOWN}"],
    )
