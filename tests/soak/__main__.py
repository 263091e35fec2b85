"""`make soak`: attacks and faults against a site of its own on this machine, and a table of what became of each.

make soak ARGS="--seconds 20 --only prompts redis"

With --folder it goes on where it was: the table has every attack that was tried in that folder.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from pathlib import Path

from . import attacks, faults, files, wire
from .site import SLUG, Site

EVERY = {
    "quiet": attacks.quiet,
    "connections": attacks.held_connections,
    "address": attacks.one_address,
    "lines": attacks.long_lines,
    "readers": attacks.slow_readers,
    "prompts": attacks.prompts,
    "patterns": attacks.patterns,
    "odd": attacks.odd_prompts,
    "addresses": attacks.addresses,
    "wire": wire.odd_requests,
    "log-in": wire.log_ins,
    "dear": wire.dear_pages,
    "bodies": wire.bodies,
    "form": files.in_the_form,
    "files": files.opened,
    "disk": faults.full_disk,
    "redis": faults.redis_gone,
    "killed": faults.killed,
}
BEFORE = {  # version a7716e1, as it was measured then
    "connections": "eight connections that sent half a request stopped the site for everybody",
    "lines": "a line of 10 MB took 59 s of a thread",
    "prompts": "feature pages 5 s",
    "patterns": "the search in examples took 35 s at 16,384 features, 254 s at 131,072, behind one lock",
    "addresses": "479 of 8,600 requests were a 500",
    "form": "n_layers of 10^8 took 4.8 GB; a pipe held a thread for ever; nesting of 100,000 and a list were a 500",
    "files": "a tokenizer took 13.6 GB and ended the process; parquet of 1.5 kB 3 GB; a .pt of 2 kB 1.8 GB",
    "disk": "[Errno 28] in a job, a bare 500 elsewhere",
    "killed": "the same figures; a missing file made a job fail for ever",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each attack (default 60)")
    parser.add_argument("--only", nargs="+", choices=EVERY, default=list(EVERY), help="some of them, in this order")
    parser.add_argument("--tokens", type=int, default=20_000, help="that statistics are of (default 20,000)")
    parser.add_argument("--folder", type=Path, help="one to keep: it goes on from there")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended; with --folder the next call goes on from here."))
    with ExitStack() as until_done:
        folder = given.folder or until_done.enter_context(tempfile.TemporaryDirectory())
        site = until_done.enter_context(Site(Path(folder).resolve(), given.tokens))
        os.environ.update(site.settings, DJANGO_SETTINGS_MODULE="saeviz.settings")
        import django

        django.setup()
        _wait_for_statistics(site)
        print(table(site, _soaked(site, given)), flush=True)


def _wait_for_statistics(site: Site) -> None:
    from features.models import SAE, Job

    said = ""
    while True:
        sae = SAE.objects.for_pages().filter(slug=SLUG).first()
        waiting = Job.objects.unfinished().filter(sae__slug=SLUG).count()
        if sae and sae.statistics and sae.statistics.completed and not sae.statistics.quick and not waiting:
            break
        told = f"{waiting} computations to be done before it begins"
        if told != said:
            print(said := told, flush=True)
        time.sleep(2)
    site.ask(f"/saes/{SLUG}/prompt/?text=warm&token=1&format=json")


def _soaked(site: Site, given) -> list[tuple]:
    rows = [("before", "", site.peak())]
    for name in given.only:
        print(f"{name}: {EVERY[name].__doc__.splitlines()[0]}", flush=True)
        began = time.monotonic()
        try:
            told = EVERY[name](site, given.seconds)
        except Exception as error:  # the others are tried all the same
            traceback.print_exc()
            told = f"THE SOAK FAILED: {error!r}"
        rows.append((name, f"{told} [{time.monotonic() - began:.0f} s]", site.peak()))
        _keep(site, rows[-1])
        print(f"    {told}", flush=True)
    time.sleep(5)
    known = _kept(site)
    tried = [(name, *known[name]) for name in EVERY if name in known and name not in given.only]
    return [rows[0], *tried, *rows[1:], ("after", "", site.memory())]


def _kept(site: Site) -> dict[str, list]:
    """{attack: [what became of it, {kind of process: bytes}]} of earlier calls with this folder."""
    file = site.folder / "rows.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _keep(site: Site, row: tuple) -> None:
    name, told, memory = row
    (site.folder / "rows.json").write_text(json.dumps(_kept(site) | {name: [told, dict(memory)]}))


def table(site: Site, rows: list[tuple]) -> str:
    """Each attack with what became of it, what it did to a7716e1, and the most memory of each kind of process."""
    kinds = sorted({kind for _, _, memory in rows for kind in memory})
    lines = ["", "Attacks and faults"]
    for name, told, _ in rows[1:-1]:
        lines.append(f"  {name}: {EVERY[name].__doc__.splitlines()[0]}")
        lines += [f"    a7716e1: {BEFORE[name]}"] if name in BEFORE else []
        lines.append(f"    now: {told}")
    lines += ["", "Most memory, MiB", f"  {'':12}" + "".join(f"{kind:>18}" for kind in kinds)]
    for name, _, memory in rows:
        lines.append(f"  {name:12}" + "".join(f"{memory.get(kind, 0) >> 20:>18,}" for kind in kinds))
    errors = [line for line in site.says().splitlines() if " ERROR " in line]
    lines += ["", f"ERROR lines in its log: {len(errors)}", *(f"  {line[:200]}" for line in errors[:10])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
