"""What a start does when database or code are new: tables, demo, administrator, first statistics, an own SAE."""

import os
import secrets
import sys
from pathlib import Path

import django
from django.core.management import CommandError, call_command
from django.db import OperationalError

from . import paths, prepared


def make_administrator(data: Path):
    """Once, with a password that only the owner of the data folder can read."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    path = data / "admin_password"
    if users.filter(is_superuser=True).exists() or users.filter(username="admin").exists():
        return
    if not path.exists():
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(secrets.token_urlsafe(12) + "\n")
    users.create_superuser("admin", password=path.read_text().strip())
    print(f"Administrator `admin`; the password is in {path}", flush=True)


def request_first_statistics():
    """For every SAE that shows none and waits for none, also where it had some of other weights; what was cancelled or
    failed is left to the page."""
    from features.jobs.requests import request_statistics
    from features.models import SAE

    for sae in SAE.objects.standing_alone().filter(statistics=None):
        newest = sae.jobs.newest_first().first()
        if newest is not None and newest.state != newest.State.DONE:
            continue
        request_statistics(sae, how="first start")
        print(f"Statistics of {sae.name} are queued; their progress is on its page.", flush=True)


def prepare_database(data: Path):
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except OperationalError as error:
        sys.exit(f"Cannot use the database: {str(error).strip()}")
    make_administrator(data)
    find_what_was_moved()


def find_what_was_moved():
    """DATA_DIR or checkout may be elsewhere since the last start."""
    from features.storage import relocation

    for sentence in relocation.relocate():
        print(sentence, flush=True)


def prepare_demo(data: Path):
    print("Loading the demo; reload the page in some seconds ...", flush=True)
    call_command("load_demo")
    request_first_statistics()
    watch_demo()
    prepared.mark(data)


def watch_demo():
    """The demo's training, once its first statistics are asked for: it waits for them."""
    from features.runs import demo

    demo.watch()


def import_own(data: Path):
    """The SAE that was given with the start; a refusal leaves the site as it is. Then the demo, if it is due."""
    wanted = os.environ["SAE"]
    options = {name: os.environ.get(name.upper(), "") for name in ("model", "hook", "corpus", "field", "encoder_b")}
    answers = os.environ.get("ANSWERS", "").split()
    try:
        call_command("import_sae", wanted, how="queue", answer=answers, **options)
    except CommandError as refusal:
        print(f"{refusal}\nEnd with Ctrl-C, and give what is missing: make run SAE={wanted} "
              "MODEL=... HOOK=... CORPUS=... ANSWERS='k=32'", flush=True)  # fmt: skip
    if not prepared.is_prepared(data):
        prepare_demo(data)


def follow_run(data: Path):
    """The folder of a training that was given with the start; likewise."""
    wanted = os.environ["RUN"]
    options = {name: os.environ.get(name.upper()) or None for name in ("model", "hook", "corpus")}
    try:
        call_command("watch", wanted, answer=os.environ.get("ANSWERS", "").split(), **options)
    except CommandError as refusal:
        print(f"{refusal}\nEnd with Ctrl-C, and name it: make run RUN=DIR MODEL=... HOOK=... CORPUS=...", flush=True)
    if not prepared.is_prepared(data):
        prepare_demo(data)


def main(what: str):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saeviz.settings")
    django.setup()
    steps = {"database": prepare_database, "demo": prepare_demo, "sae": import_own, "run": follow_run}
    steps[what](paths.data_dir())


if __name__ == "__main__":
    main(sys.argv[1])
