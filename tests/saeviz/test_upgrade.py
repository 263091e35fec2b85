"""Does a DATA_DIR that an earlier version wrote open in this one, with every figure that its pages showed?

tests/data/make_data_dir.py made it: an SAE of 300 features with an encoder B in one .pt file, one whose hash covers its
folder as the demo's does, jobs and imports in every state. Asked through manage.py and addresses alone.
"""

import json
import lzma
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader

from features.engine.text.invisible import visible
from features.templatetags.formatting import percent

from . import data_dirs
from .processes import OWN, ROOT

WRITTEN = ROOT / "tests" / "data" / "written_by_a7716e1"
BEFORE = json.loads(lzma.decompress((WRITTEN / "shown.json.xz").read_bytes()))
# Where a token counted once for each group that showed it: now once, so the order by those counts is another.
COUNTED_ANEW = "/saes/pines/features/?q=make&by=examples"
# What the same figures are written with now, and were then.
REWORDED = (
    (
        r"(\S+) nats for the model, (\S+) with the reconstruction in its place, (\S+) with zeros \((\S+) tokens\)",
        r"loss \1 as it is, \2 with the reconstruction, \3 with nothing (nats, \4 tokens)",
    ),
    (
        r"total: they include everything downstream \(only the final norm follows\)",
        "total: nothing but the final norm comes after",
    ),
)
COUNTED = re.compile(r"(\d) of ([\d,]+)")  # a density of few tokens
STATES = {"queued", "running", "done", "failed", "cancelled"}


def python(data, *arguments, said=None):
    """What a process prints that has this DATA_DIR."""
    plain = {name: value for name, value in os.environ.items() if name not in (*OWN, "TZ_NAME")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**plain, "DATA_DIR": str(data)},
        input=said,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory):
    """The old folder in a new place, after `manage.py migrate`."""
    folder = tmp_path_factory.mktemp("upgraded").resolve()
    with tarfile.open(WRITTEN / "data.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    data_dirs.move(folder / "saeviz.sqlite3", data_dirs.SOMEWHERE, str(folder))
    python(folder, "manage.py", "migrate", "--verbosity=0")
    return folder


@pytest.fixture(scope="module")
def shown(upgraded):
    return json.loads(python(upgraded, "-m", "tests.saeviz.data_dirs", said=json.dumps(list(BEFORE))))


def as_then(texts):
    """As that version put them."""
    for pattern, instead in REWORDED:
        texts = [re.sub(pattern, instead, text) for text in texts]
    return [_share(*counted.groups()) if (counted := COUNTED.fullmatch(text)) else text for text in texts]


def _share(count, tokens):
    return percent(int(count) / int(tokens.replace(",", ""))).replace("\u00a0", " ")


@pytest.mark.parametrize("address", BEFORE)
def test_a_page_shows_what_it_showed(address, shown):
    before, now = BEFORE[address], shown[address]
    assert now["status"] == before["status"]
    assert data_dirs.as_far_as(before["data"], now["data"]) == before["data"]
    # What cannot be seen was once shown as it is, which is to say not at all; it is spelled now.
    texts = [[visible(text) for text in texts] for texts in (before.get("texts", []), as_then(now.get("texts", [])))]
    if address == COUNTED_ANEW:  # what stands above the rows
        texts = [every[: every.index("Flags")] for every in texts]
    assert data_dirs.lost(*texts) == []


def test_a_figure_that_was_not_computed_then_is_said_to_be_missing(shown):
    told = [text for page in shown.values() for text in page.get("texts", [])]
    assert any("not computed yet" in text for text in told)


@pytest.mark.parametrize("what", ["jobs", "imports"])
def test_jobs_and_imports_of_every_state_are_told_of_in_that_state(what, shown):
    told = [page["data"] for address, page in shown.items() if address.startswith(f"{data_dirs.STAFF}/{what}/")]
    assert {row["state"] for row in told} == STATES
    for row in told:
        unfinished = row["state"] in ("queued", "running")
        assert (row["can_cancel"], row["can_retry"]) == (unfinished, row["state"] in ("failed", "cancelled"))


@pytest.mark.parametrize("slug, state", [("pines", "queued"), ("cones", "failed"), ("needles", "running")])
def test_the_progress_panel_of_an_sae_finds_its_newest_job(slug, state, shown):
    assert shown[f"/saes/{slug}/jobs.json"]["data"]["job"]["state"] == state


def test_no_row_points_to_one_that_is_gone(upgraded):
    with closing(sqlite3.connect(upgraded / "saeviz.sqlite3")) as rows:
        assert rows.execute("PRAGMA foreign_key_check").fetchall() == []


def test_every_app_has_one_last_migration():
    loader = MigrationLoader(None)
    last = {app: loader.graph.leaf_nodes(app) for app in loader.migrated_apps}
    assert last and all(len(leaves) == 1 for leaves in last.values()), last


@pytest.mark.django_db
def test_no_model_has_changed_without_a_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
