"""Where this installation keeps what it makes: the data folder and the socket of its own Redis."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    *("saeviz.sqlite3*", "secret_key", "admin_password", "redis.rdb", "prepared", "running.lock"),
    *("corpora", "activations", "shards", "backups"),
)
LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS


def data_dir() -> Path:
    return Path(os.environ.get("DATA_DIR") or ROOT / "data").expanduser().resolve()


def close_to_others(data: Path, everything: bool = False) -> None:
    """The data folder is its owner's alone, also one that an earlier version made; with `everything`, so is each file
    of ours in it. A folder that is shared by nature (the temporary one, a home) is left as it is, and the doctor
    says so."""
    try:
        found = data.stat()
        is_shared = found.st_mode & stat.S_ISVTX or data in (Path.home(), Path(data.anchor))
        if is_shared or found.st_uid != os.getuid():
            return
        data.chmod(0o700)
        for path in (p for name in OURS for p in data.glob(name)) if everything else ():
            for each in (path, *path.rglob("*")):
                if not each.is_symlink() and each.lstat().st_mode & 0o077:
                    each.chmod(each.lstat().st_mode & 0o700)
    except (OSError, RuntimeError):  # not there yet; no home; gone meanwhile
        return


def keep_caches(data: Path) -> None:
    """In a container without a home, or on a checkout that cannot be written, what libraries keep lies in the data
    folder: compiled loops and downloads. Before any of them is imported."""
    loops = ROOT / "features" / "engine" / "kernels" / "numba"
    if not os.access(loops, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(data / "cache" / "numba"))
    home = os.path.expanduser("~")  # pathlib raises where there is none  # noqa: PTH111
    if not os.access(home, os.W_OK):
        os.environ.setdefault("XDG_CACHE_HOME", str(data / "cache"))
        os.environ.setdefault("HF_HOME", str(data / "cache" / "huggingface"))
        os.environ.setdefault("TRITON_HOME", str(data / "cache"))


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
