"""Where this installation keeps what it makes: the data folder and the socket of its own Redis."""

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS


def data_dir() -> Path:
    return Path(os.environ.get("DATA_DIR") or ROOT / "data").expanduser().resolve()


def redis_socket(data: Path) -> Path:
    """In the data folder; where its path is too long for a socket, a private folder in the temporary one."""
    wanted = data / "redis.sock"
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"saeviz-{os.getuid()}-{digest}" / "redis.sock"


def redis_url(data: Path) -> str:
    """The address Celery finds the embedded Redis under."""
    return "redis+socket://" + quote(str(redis_socket(data)))
