"""One zip file: a manifest, the rows of each table, and the files that belong to them, each with its checksum.

What is in it is a site's own: password hashes of its users among it. Its reader believes neither names nor sizes.
"""

import hashlib
import io
import json
import shutil
import socket
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from features.engine.files import whole_file
from features.jobs import lifecycle
from features.messages import size
from features.models import SAE, Job, QueuedWork
from features.storage import relocation

from . import files, rows

FORMAT = 1
MANIFEST = "saeviz-backup.json"
BLOCK = 1 << 20


class BackupError(ValueError):
    """It cannot be written or read; the message says why, and the way out."""


def write(path: Path, with_activations: bool = False, with_checkpoints: bool = False, say=print) -> dict:
    """Everything of one moment, while the site runs. Returns the manifest. Raises OSError."""
    with whole_file(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        unfinished.chmod(0o600)  # it holds password hashes
        with rows.snapshot():
            manifest = {
                "format": FORMAT,
                "written": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": socket.gethostname(),
                "migrations": rows.migrations(),
                "tables": {model._meta.label: _add_rows(archive, model) for model in rows.tables(apps)},
            }
            wanted = list(files.of_rows(with_activations, with_checkpoints))
        manifest["files"] = {}
        for name, file in wanted:
            try:
                manifest["files"][name] = _add_file(archive, name, file)
            except FileNotFoundError:  # statistics that were replaced meanwhile take their activations along
                say(f"{file} was removed meanwhile and is left out.")
        archive.writestr(MANIFEST, json.dumps(manifest))
    return manifest


def _add_rows(archive, model) -> dict:
    digest, count = hashlib.sha256(), 0
    with archive.open(_rows_name(model._meta.label), "w", force_zip64=True) as member:
        for line in rows.lines(model):
            member.write(line)
            digest.update(line)
            count += 1
    return {"columns": rows.columns(model), "rows": count, "sha256": digest.hexdigest()}


def _rows_name(label: str) -> str:
    return f"rows/{label}.jsonl"


def _add_file(archive, name, path) -> dict:
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(name, "w", force_zip64=True) as member:
        while block := source.read(BLOCK):
            member.write(block)
            digest.update(block)
            length += len(block)
    return {"bytes": length, "sha256": digest.hexdigest()}


def read(path: Path, replace: bool = False) -> tuple[dict, list[str]]:
    """Put back what a backup holds; its manifest, and sentences of what is not as it was.

    Files first, each checked, then all rows in one transaction: where anything is wrong, the rows stay as they are.
    Raises BackupError or OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _manifest(archive)
            _be_ready_for(manifest, replace)
            _check_rows(archive, manifest)
            _put_files(archive, manifest)
            _put_rows(archive, manifest)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise BackupError(f"{path} is damaged or no backup ({error}). Take another.") from error
    call_command("migrate", verbosity=0, interactive=False)
    said = files.point_rows_at(set(manifest["files"]))
    said += relocation.relocate()
    _begin_anew()
    return manifest, said


def _manifest(archive) -> dict:
    try:
        found = json.loads(archive.read(MANIFEST))
    except (KeyError, ValueError) as error:
        raise BackupError("This is no backup of saeviz: it has no manifest.") from error
    if found.get("format") != FORMAT:
        raise BackupError(f"The backup has format {found.get('format')}; this version reads {FORMAT}. Update saeviz.")
    return found


def _be_ready_for(manifest: dict, replace: bool) -> None:
    """An empty database gets the tables as they were then; a full one has to have just those."""
    wanted = manifest["migrations"]
    if newer := rows.unknown(wanted):
        raise BackupError(f"The backup is of a newer version ({newer[0]}). Update saeviz, and restore then.")
    needed = sum(entry["bytes"] for entry in manifest["files"].values())
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(settings.DATA_DIR).free) < needed:
        raise BackupError(f"Its files need {size(needed)}; {settings.DATA_DIR} has {size(free)} free. Make room.")
    if not connection.introspection.django_table_names(only_existing=True):
        for app, (name, *_) in wanted.items():
            call_command("migrate", app, name, verbosity=0, interactive=False)
        return
    if rows.migrations() != wanted:
        raise BackupError(
            "The backup is of another version than the database, which cannot be changed back. Restore into an empty "
            "one (another DATA_DIR or DATABASE_URL); it is brought up to date there."
        )
    if SAE.objects.exists() and not replace:
        raise BackupError(
            f"The database has {SAE.objects.count():,} SAEs already. With --replace all that it has is replaced."
        )


def _check_rows(archive, manifest) -> None:
    for label, table in manifest["tables"].items():
        with archive.open(_rows_name(label)) as member:
            if hashlib.file_digest(member, "sha256").hexdigest() != table["sha256"]:
                raise BackupError(f"The backup is damaged: the rows of {label} are others than were written.")


def _put_files(archive, manifest) -> None:
    for name, entry in manifest["files"].items():
        target = files.place(name)
        digest, left = hashlib.sha256(), entry["bytes"]
        with archive.open(name) as member, whole_file(target) as unfinished, unfinished.open("wb") as file:
            while block := member.read(min(BLOCK, left)):
                file.write(block)
                digest.update(block)
                left -= len(block)
            if left or digest.hexdigest() != entry["sha256"]:
                raise BackupError(f"The backup is damaged: {name} is another than was written.")


def _put_rows(archive, manifest) -> None:
    then = rows.apps_at(manifest["migrations"])
    with transaction.atomic():
        rows.empty()
        for label, table in manifest["tables"].items():
            with archive.open(_rows_name(label)) as member:
                rows.load(then.get_model(label), table["columns"], io.BufferedReader(member))
        rows.reset_sequences([then.get_model(label) for label in manifest["tables"]])


def _begin_anew() -> None:
    """Whoever worked on something then does not now, and halves of computations were left where they were."""
    for kind in (model for model in apps.get_models() if issubclass(model, QueuedWork)):
        for work in kind.objects.unfinished():
            fresh = {"inputs": "", "result": None, "alone": False} if kind is Job else {}
            anew = {"state": kind.State.QUEUED, "attempts": 0, "heartbeat": None, "started": None}
            lifecycle.row(work).update(**anew, **fresh)
