"""What depends most on the database holds on PostgreSQL as well: migrations, labels that several write at once, and
lists that are sorted, filtered and searched by them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

ROOT = Path(__file__).parents[2]
TESTED = ["tests/features/judge/test_labels.py"]
# Nothing of it outlives the test: it may forget what it has not written.
SETTINGS = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c synchronous_commit=off"


def _programs():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    pg_ctl = found[-1] if found else shutil.which("pg_ctl")
    return Path(pg_ctl).parent if pg_ctl else None


@pytest.fixture
def server():
    """The address of a server of its own, on a socket in a folder of its own."""
    if not (programs := _programs()):
        pytest.skip("PostgreSQL is not installed")
    # It refuses to be root's: Debian's package has made it a user.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="saeviz-pg-"))

    def run(program, *arguments):
        subprocess.run([programs / program, "-D", folder / "data", *arguments], check=True, user=user,
                       stdout=subprocess.DEVNULL, cwd=folder)  # fmt: skip

    try:
        if user:
            shutil.chown(folder, user)
        run("initdb", "-A", "trust", "-U", "saeviz", "-N", "--no-locale", "-E", "UTF8")
        run("pg_ctl", "-w", "-l", folder / "log", "-o", f"-k {folder} {SETTINGS}", "start")
        yield f"postgres://saeviz@{quote(str(folder), safe='')}/postgres"
        run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.mark.service
def test_labels_hold_on_postgresql(server):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-m", "not browser and not service"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run([*command, *TESTED], env=environment | {"DATABASE_URL": server}, cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
