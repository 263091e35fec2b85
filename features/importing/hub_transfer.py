"""How do the bytes of one file come: from an address, into `NAME.part`, and under its name once they are right?

`huggingface_hub` tells where a file lies, its size and its checksum, but does not promise that a download ends within
a block when its import is cancelled, goes on in a later process with what had come, and tells bytes and rate to a row:
so the transfer is ours. `NAME.tag` beside the part says of which version it is a beginning; `NAME.known` beside the
file keeps size and SHA-256, by which it is known again without the network.
"""

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..engine.files import give_name, sha256

TOLD_EVERY = 0.5  # seconds between two words of progress
TIMEOUT = 30  # seconds without a byte


class TransferError(OSError):
    """What came, or where it is to lie, is not right: asking again at once would not help."""


@dataclass(frozen=True)
class DownloadProgress:
    """How far the download of a file is."""

    name: str
    done: int  # bytes
    total: int  # bytes; 0 until the hub has answered
    rate: float  # bytes a second, in this connection

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate else None

    def __str__(self):
        if not self.total:
            return f"{self.name}: asking the hub"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        done, total = (f"{size / 1e6:,.{0 if self.total >= 1e7 else 1}f}" for size in (self.done, self.total))
        return f"{self.name}: {done} of {total} MB, {self.rate / 1e6:.1f} MB/s{left}"


def is_whole(target: Path) -> bool:
    """Whether a file is there with the size and checksum it had when it came."""
    try:
        known = json.loads(_beside(target, "known").read_text())
        return target.stat().st_size == known["size"] and sha256(target) == known["sha256"]
    except (OSError, ValueError, KeyError):
        return False


def bytes_kept(target: Path) -> int:
    """How much of a file has come, where its download broke off."""
    part = _beside(target, "part")
    return part.stat().st_size if part.exists() else 0


def transfer(metadata, headers: dict[str, str], target: Path, progress: Callable[[DownloadProgress], None]) -> Path:
    """One connection: the rest of the file, or all of it where the hub's file (`HfFileMetadata`) is another by now.

    Raises TransferError, other OSErrors and the HTTPError of `huggingface_hub` where connection or disk fails; what
    `progress` raises ends it too. What has come by then is kept.
    """
    tag, version, size = _beside(target, "tag"), metadata.etag or "", metadata.size or 0  # 0: the hub does not say
    had = bytes_kept(target) if version and tag.exists() and tag.read_text() == version else 0
    if not 0 < had <= size:  # nothing, or what is no beginning of this version
        _beside(target, "part").unlink(missing_ok=True)
        had = 0
    if had < size or size == 0:
        if size - had > (free := shutil.disk_usage(target.parent).free):
            raise TransferError(f"{target.name} needs {size - had:,} bytes, {target.parent} has {free:,}. Make room.")
        tag.write_text(version)
        _receive(metadata, headers, target, had, progress)
    _keep(target, metadata)
    tag.unlink(missing_ok=True)
    return target


def _receive(metadata, headers: dict[str, str], target: Path, had: int, progress) -> None:
    from huggingface_hub.utils import get_session

    asked = headers | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
    with get_session().stream("GET", metadata.location, headers=asked, timeout=TIMEOUT) as response:
        if response.status_code not in (200, 206):  # the address may carry a signature: it is in no message
            raise ConnectionError(f"the place where the file lies answers {response.status_code}")
        had = had if response.status_code == 206 else 0
        total = metadata.size or had + int(response.headers.get("Content-Length") or 0)
        done, began, told = had, time.monotonic(), 0.0
        with _beside(target, "part").open("r+b" if had else "wb") as file:
            file.seek(had)
            for block in response.iter_raw():  # what has come by now: a slow hub is no reason to be silent
                file.write(block)
                done, now = done + len(block), time.monotonic()
                if now - told >= TOLD_EVERY or done == total:
                    told = now
                    progress(DownloadProgress(target.name, done, total, (done - had) / max(now - began, 1e-6)))
    if total and done != total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _keep(target: Path, metadata) -> None:
    """Give a download its name, once it is what the hub says it is: large files have their SHA-256 as ETag."""
    part, promised = _beside(target, "part"), metadata.etag or ""
    came = sha256(part)
    if re.fullmatch("[0-9a-f]{64}", promised) and promised != came:
        part.unlink()
        raise TransferError(f"{target.name}: the hub says SHA-256 {promised}, what came has {came}. Run it again.")
    known = {"size": part.stat().st_size, "sha256": came, "commit": metadata.commit_hash or ""}
    _beside(target, "known").write_text(json.dumps(known, indent=1))
    give_name(part, target)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}.{ending}")
