"""How do files get here that staff send by a browser? Streamed below a configured folder, bounded, and never half.

They come into a hidden folder, which gets its name when all are there; what broke off is taken away.
"""

import re
import shutil
import time
import uuid
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.utils.text import slugify

from ..engine.files import give_name
from ..engine.foreign_files import in_bytes
from ..engine.sae.reading.files import WEIGHTS, is_sae_file
from . import folders

KINDS = (*WEIGHTS, ".json")
MOST_FILES = 40
LONGEST_NAME = 120  # characters of a file's name
INCOMING, STALE = ".incoming-", 24 * 3600  # seconds after which what a killed process left is taken away
OVERHEAD = 1 << 16  # bytes of a form around its files


class UploadRefused(ValueError):
    """What was sent is not kept; the message says why, and what is."""


def root() -> Path:
    """The folder that uploads are kept below: the first configured one, which need not be there yet."""
    configured = [Path(folder).absolute() for folder in settings.SAEVIZ_FOLDERS if folder]
    if not configured:
        raise UploadRefused("SAEVIZ_FOLDERS names no folder to keep files in. Set it to one.")
    return next(iter(folders.roots()), configured[0])


def refuse_by_size(length: int) -> None:
    """Before a byte is read: raises UploadRefused where so many are too many, for the limit or for the disk."""
    limit = settings.SAEVIZ_MAX_UPLOAD
    if limit == 0:
        raise UploadRefused(f"Uploads are switched off (SAEVIZ_MAX_UPLOAD=0). Copy the files to {root()}.")
    if length > limit + OVERHEAD:
        raise UploadRefused(
            f"The files have {in_bytes(length)}; at most {in_bytes(limit)} are taken (SAEVIZ_MAX_UPLOAD). Copy them to "
            f"{root()} instead."
        )
    folder = root()
    folder.mkdir(parents=True, exist_ok=True)
    if length > (free := shutil.disk_usage(folder).free):
        raise UploadRefused(f"The files have {in_bytes(length)}; {folder} has room for {in_bytes(free)}.")


class Receiver(FileUploadHandler):
    """Writes the files of one form into a folder of their own as they come."""

    def __init__(self, request=None):
        super().__init__(request)
        for stale in root().glob(f"{INCOMING}*"):
            if time.time() - stale.stat().st_mtime > STALE:
                shutil.rmtree(stale, ignore_errors=True)
        self.folder = root() / f"{INCOMING}{uuid.uuid4().hex}"
        self.folder.mkdir(parents=True)
        self.received, self.problem, self._file = 0, "", None

    def new_file(self, field_name, file_name, *args, **kwargs):
        super().new_file(field_name, file_name, *args, **kwargs)
        self.problem = self.problem or self._why_not(file_name)
        if self.problem:
            raise StopUpload(connection_reset=True)
        self._file = (self.folder / file_name).open("xb")

    def receive_data_chunk(self, raw_data, start):
        self.received += len(raw_data)
        if self.received > settings.SAEVIZ_MAX_UPLOAD:
            self.problem = f"More than {in_bytes(settings.SAEVIZ_MAX_UPLOAD)} came (SAEVIZ_MAX_UPLOAD)."
            raise StopUpload(connection_reset=True)
        self._file.write(raw_data)

    def file_complete(self, file_size):
        self._file.close()
        return UploadedFile(name=self.file_name, size=file_size)

    def _why_not(self, name: str) -> str:
        if not re.fullmatch(r"\w[\w.+=-]*", name) or len(name) > LONGEST_NAME:
            return f"{name[:LONGEST_NAME]!r} is no name for a file here: letters, digits, dots, dashes. Rename it."
        if not name.endswith(KINDS) or not is_sae_file(name):
            return f"{name} is no file of an SAE: weights ({', '.join(WEIGHTS)}) and configs (.json) are taken."
        if (self.folder / name).exists():
            return f"{name} was sent twice."
        if len(list(self.folder.iterdir())) >= MOST_FILES:
            return f"More than {MOST_FILES} files were sent."
        return ""

    def keep(self, name: str = "") -> Path:
        """The folder under its final name, made of `name` or else of the weights'. Raises UploadRefused."""
        files = sorted(self.folder.iterdir())
        weights = [file for file in files if file.name.endswith(WEIGHTS)]
        if self.problem or not weights:
            has = ", ".join(file.name for file in files) or "nothing"
            raise UploadRefused(self.problem or f"No weights came ({', '.join(WEIGHTS)}); there was {has}.")
        stem = slugify(name)[:60] or slugify(weights[0].stem)[:60] or "sae"
        number, kept = 1, root() / "uploads" / stem
        while kept.exists():
            number += 1
            kept = root() / "uploads" / f"{stem}-{number}"
        kept.parent.mkdir(exist_ok=True)
        give_name(self.folder, kept)
        return kept

    def discard(self) -> None:
        """Take away what was not kept."""
        if self._file:
            self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)
