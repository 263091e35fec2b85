"""Where are files that rows name and that are there no longer? After DATA_DIR or the checkout was moved or mounted
elsewhere they lie under the same names below another folder; their checksums say that they are the same."""

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from ..engine.files import sha256
from ..engine.sae.reading.errors import CheckpointError
from ..engine.sae.reading.fingerprint import checkpoint_hash
from ..engine.sae.reading.old_hashes import old_hashes
from ..models import SAE, Corpus, Run
from . import verdicts


def relocate() -> list[str]:
    """Correct the paths of corpora, SAEs, models and runs; a sentence for each that was found elsewhere."""
    said = []
    for corpus in Corpus.objects.all():
        said += _correct(corpus, "path", lambda path, row: sha256(path) == row.sha256)
    for sae in SAE.objects.all():
        said += _correct(sae, "path", _has_weights_of)
        said += _correct(sae, "model_path", lambda path, row: is_same_model(row, path))
    for run in Run.objects.all():
        said += _correct(run, "model_path", lambda path, row: path.is_dir())
    return said


def _correct(row, field: str, is_it) -> list[str]:
    before = Path(getattr(row, field))
    if not before.is_absolute() or before.exists():
        return []
    for path in _candidates(before):
        try:
            if is_it(path, row):
                type(row).objects.filter(pk=row.pk).update(**{field: str(path)})
                return [f"{row.slug}: {before} is {path} now."]
        except (OSError, CheckpointError):
            continue
    return []


def _candidates(before: Path) -> Iterator[Path]:
    """What has the same end of its path, the longest end first."""
    homes = dict.fromkeys((settings.DATA_DIR, settings.BASE_DIR, *map(Path, settings.SAEVIZ_FOLDERS)))
    for first in range(1, len(before.parts)):
        for home in homes:
            path = home.joinpath(*before.parts[first:])
            if path.exists():
                yield path


def _has_weights_of(path: Path, sae: SAE) -> bool:
    if sae.configs_hash:
        return sae.checkpoint_hash == checkpoint_hash(path)
    return sae.checkpoint_hash in old_hashes(path)  # a row of an earlier version


def is_same_model(sae: SAE, path) -> bool:
    """Whether the folder holds the weights that the SAE's row was read with. Where the row is of a version that did not
    keep their hash, and its own folder is gone, the end of the path has to do."""
    before, path = Path(sae.model_path), Path(path)
    if before.resolve() == path.resolve():
        return True
    known = sae.provenance.get("model_hash", "") or (verdicts.model_hash(before) if before.is_dir() else "")
    if not known:
        return before.parts[-2:] == path.parts[-2:] and path.is_dir()
    return known == verdicts.model_hash(path)
