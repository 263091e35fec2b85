"""How does a named file of a hub repository come to this machine, whole, and only once?

A download goes into `NAME.part`, is taken up where it broke off, and gets its name when size and checksum are
right. `NAME.known` beside it keeps both; with them a file is known again without the network.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20
TOLD_EVERY = 0.5  # seconds between two words of progress
ATTEMPTS = 4  # connections for one file, each going on where the last one broke off
PAUSE = 1.0  # seconds between two of them
TIMEOUT = 30  # seconds without a byte


class HubError(OSError):
    """A file that could not be had; the message says which, why and the way out."""


@dataclass(frozen=True)
class Received:
    """How far the download of a file is."""

    name: str
    done: int  # bytes
    total: int  # 0 until the hub has answered
    rate: float  # bytes a second, in this connection

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None

    def __str__(self):
        if not self.total:
            return f"{self.name}: asking the hub"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        digits = 0 if self.total >= 1e7 else 1
        done, total = (f"{size / 1e6:,.{digits}f}" for size in (self.done, self.total))
        return f"{self.name}: {done} of {total} MB, {self.rate / 1e6:.1f} MB/s{left}"


def fetch(repository: str, name: str, folder, progress: Callable[[Received], None] | None = None) -> Path:
    """The file `name` of `repository` ("owner/name", "datasets/owner/name") below `folder`; asked for if not there.

    Raises HubError. What `progress` raises ends the download too; what has come is kept, and gone on with next time.
    """
    target = Path(folder) / repository / name
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    url = f"{endpoint()}/{repository}/resolve/main/{urllib.parse.quote(name)}"
    tell = progress or (lambda received: None)
    for attempt in range(1, ATTEMPTS + 1):
        tell(Received(target.name, 0, 0, 0.0))
        try:
            return _receive(url, target, tell)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                raise HubError(f"{url}: the hub answers {error.code} ({error.reason}). {_hint(error.code)}") from error
        except HubError:
            raise
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS:
                raise HubError(_broken(url, target, error)) from error
        time.sleep(PAUSE)
    raise AssertionError("every last attempt returns or raises")


@dataclass(frozen=True)
class Listing:
    """What the hub says a repository holds."""

    sizes: dict[str, int]  # file -> bytes; 0 where it does not say
    licence: str  # as its authors put it; may be empty


def listing(repository: str) -> Listing:
    """The files of a repository. Raises HubError."""
    kind, plain = ("datasets", repository[9:]) if repository.startswith("datasets/") else ("models", repository)
    url = f"{endpoint()}/api/{kind}/{plain}?blobs=true"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            said = json.load(response)
            sizes = {file["rfilename"]: int(file.get("size") or 0) for file in said["siblings"]}
            return Listing(sizes, str((said.get("cardData") or {}).get("license") or ""))
    except urllib.error.HTTPError as error:
        raise HubError(f"{url}: the hub answers {error.code} ({error.reason}). {_hint(error.code)}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException) as error:
        raise HubError(f"{url}: no answer that can be read ({error}). Run it again with a network.") from error


def listing_meant(repository: str, name: str) -> Listing:
    """The same of a `name` that may have been meant as a path. Raises HubError, which says so."""
    try:
        return listing(repository)
    except HubError as error:
        raise HubError(f"{name} is no path here; as a name on the hub: {error}") from error


def names(repository: str, ending: str) -> list[str]:
    """Files of a repository that end so. Raises HubError."""
    files = listing(repository).sizes
    found = sorted(file for file in files if file.endswith(ending))
    if not found:
        raise HubError(f"{repository} has no file ending in {ending}; it has {', '.join([*files][:8]) or 'none'}.")
    return found


def endpoint() -> str:
    """HF_ENDPOINT, as for every other program that uses the hub."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _is_whole(target: Path) -> bool:
    """Whether it is there with the size and checksum it had when it came."""
    try:
        known = json.loads(_record(target).read_text())
        return target.stat().st_size == known["size"] and _sha256(target) == known["sha256"]
    except (OSError, ValueError, KeyError):
        return False


def _receive(url: str, target: Path, progress) -> Path:
    """One connection: the rest of the file, or all of it where the hub's file is another by now."""
    part, tag = _part(target), _part(target).with_suffix(".tag")
    version = tag.read_text() if tag.exists() else ""
    had = part.stat().st_size if part.exists() and version else 0
    headers = {"Range": f"bytes={had}-", "If-Range": version} if had else {}
    seen = _Redirects()
    try:
        response = urllib.request.build_opener(seen).open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there is no beginning of the hub's file
            part.unlink()
            raise ConnectionError("the hub cannot go on where the last download ended") from error
        raise
    with response:
        had = had if response.status == 206 else 0
        total = had + int(response.headers.get("Content-Length") or 0)
        _check_room(target, total - had)
        tag.write_text(response.headers.get("ETag") or "")
        _write(response, part, had, total, target.name, progress)
    _keep(part, target, total, seen.headers | _plain(response.headers))
    tag.unlink()
    return target


def _write(response, part: Path, had: int, total: int, name: str, progress) -> None:
    done, began, told = had, time.monotonic(), 0.0
    with part.open("r+b" if had else "wb") as file:
        file.seek(had)
        while block := response.read1(BLOCK):  # what has come by now: a slow hub is no reason to be silent
            file.write(block)
            done, now = done + len(block), time.monotonic()
            if now - told >= TOLD_EVERY or done == total:
                told = now
                progress(Received(name, done, total, (done - had) / max(now - began, 1e-6)))
    if total and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _keep(part: Path, target: Path, total: int, headers: dict) -> None:
    """Give a download its name, once it is what the hub says it is."""
    found, said = _sha256(part), headers.get("x-linked-etag", "").strip('"')
    if re.fullmatch("[0-9a-f]{64}", said) and said != found:
        part.unlink()
        raise HubError(f"{target.name}: the hub says SHA-256 {said}, what came has {found}. Run it again.")
    known = {"size": part.stat().st_size, "sha256": found, "commit": headers.get("x-repo-commit", "")}
    _record(target).write_text(json.dumps(known, indent=1))
    part.replace(target)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows them and remembers what they say: the hub tells a large file's SHA-256 on the way to it."""

    def __init__(self):
        self.headers = {}

    def redirect_request(self, request, file, code, message, headers, address):
        self.headers |= _plain(headers)
        return super().redirect_request(request, file, code, message, headers, address)


def _plain(headers) -> dict:
    return {name.lower(): value for name, value in headers.items()}


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise HubError(f"{target.name} needs {needed:,} bytes, {target.parent} has {free:,} left. Make room.")


def _broken(url: str, target: Path, error) -> str:
    part = _part(target)
    have = f" {part.stat().st_size:,} bytes are kept; the next run goes on from there." if part.exists() else ""
    return f"{url}: {error} ({ATTEMPTS} attempts).{have} Is there a network, and room on the disk? Run it again then."


def _hint(code: int) -> str:
    if code == 404:
        return "There is no such file; was it renamed?"
    return "It wants a login." if code in (401, 403) else "Run it again later."


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".known")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
