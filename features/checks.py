"""Will this installation run? Cheap looks at settings, folders and file headers, by `manage.py check`."""

import os
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection

from .autointerp import address as addresses
from .messages import BadRequest
from .storage import findings_file
from .storage.files import complaints


@checks.register("features")
def data_dir_is_writable(**kwargs):
    if _can_be_written(settings.DATA_DIR):
        return []
    return [
        checks.Error(
            f"Nothing can be written to {settings.DATA_DIR}.",
            hint="Set DATA_DIR to a folder this user may write to; it holds the database and the corpora.",
            id="features.E001",
        )
    ]


def _can_be_written(path: Path) -> bool:
    """It, or the nearest folder above it that there is."""
    folder = next(p for p in (path, *path.parents) if p.exists())
    return folder.is_dir() and os.access(folder, os.W_OK)


@checks.register("features")
def activations_can_be_kept(**kwargs):
    if not settings.SAEVIZ_KEPT_BYTES or _can_be_written(Path(settings.SAEVIZ_KEPT).absolute()):
        return []
    return [
        checks.Warning(
            f"Nothing can be written to {settings.SAEVIZ_KEPT}: computations will keep no activations to be asked.",
            hint="Set SAEVIZ_KEPT to a folder that workers may write to, or SAEVIZ_KEPT_BYTES=0 to keep none.",
            id="features.W003",
        )
    ]


@checks.register("features")
def language_model_has_an_address(**kwargs):
    try:
        addresses.of_site()
        return []
    except BadRequest as problem:
        hint = "Correct SAEVIZ_LLM, or leave it out: descriptions by simple patterns need none."
        return [checks.Warning(f"SAEVIZ_LLM: {problem}", hint=hint, id="features.W004")]


@checks.register("features")
def files_of_saes_are_there(**kwargs):
    rows = _rows()
    return [_warning(row, what, hint) for row in rows for what, hint in complaints(row)]


@checks.register("features")
def findings_can_be_read(**kwargs):
    hint = "Correct the file, or remove it; what may stand in it is in docs/findings.md."
    told = [(sae, _why_no_findings(sae)) for sae in _rows() if hasattr(sae, "model_path")]
    return [checks.Warning(f"{sae.slug}: {why}", hint=hint, obj=sae, id="features.W002") for sae, why in told if why]


def _why_no_findings(sae):
    """None, or what is wrong with its findings."""
    try:
        findings_file.read_of(sae)
    except findings_file.FindingsUnreadable as problem:
        return f"its findings are not shown. {problem}."


def _rows():
    """Every SAE and corpus; none while the database is not there yet, or not migrated."""
    from .models import SAE, Corpus

    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite" and not connection.is_in_memory_db() and not Path(name).exists():
        return []  # connecting would make an empty file
    was_open = connection.connection is not None
    try:
        return [*SAE.objects.order_by("pk"), *Corpus.objects.order_by("pk")]
    except DatabaseError:
        return []
    finally:
        if not was_open:
            connection.close()  # a worker checks before it forks: no connection may be open then


def _warning(row, what, hint):
    return checks.Warning(f"{row.slug}: {what}", hint=hint, obj=row, id="features.W001")
