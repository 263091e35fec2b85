"""What files can do to whoever opens them: as workers do, in this process and its children, and through the form."""

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tests.engine import small
from tests.saeviz.processes import numbers, read

from . import hostile
from .site import Readers, Site, Staff

SENTENCE = 110  # characters shown of one


class Most:
    """The most memory that this process' children have at a time, and how much this one grows."""

    def __enter__(self):
        self.children, self._before, self._end = 0, resident(os.getpid()), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.own = max(0, resident(os.getpid()) - self._before)

    def _look(self):
        own = str(os.getpid()).encode()
        while not self._end.wait(0.05):
            here = [pid for pid in numbers() if read(pid, "stat").rsplit(b")")[-1].split()[1:2] == [own]]
            self.children = max(self.children, sum(map(resident, here)))


def resident(pid: int) -> int:
    found = re.search(rb"VmRSS:\s+(\d+) kB", read(pid, "status"))
    return int(found[1]) << 10 if found else 0


def opened(site: Site, seconds: float) -> str:
    """Each file as a worker opens it: what became of it, and the most memory of the child beside its usual."""
    root = site.folder / "made"
    hostile.remove(root)
    root.mkdir()
    lines = []
    for what, attempt in _attempts(root).items():
        began = time.monotonic()
        with Most() as most:
            said = _said(attempt)
        took = f"{time.monotonic() - began:.1f} s, child {most.children >> 20:,} MiB, own +{most.own >> 20} MiB"
        lines.append(f"{what}: {took}: {said}")
        print(f"    {lines[-1]}", flush=True)
    ran = (root / "ran").exists()
    hostile.remove(root)
    return ("A PROGRAM RAN; " if ran else "") + "\n    ".join(["", *lines])


def _attempts(root: Path) -> dict[str, Callable]:
    from features.engine.model.confined_vocabulary import ConfinedVocabulary
    from features.importing import corpora
    from features.storage import verdicts
    from features.storage.opened import description_of
    from features.storage.readers import vocabulary_in

    small.write_model(root / "usual", 1)
    many, panics = hostile.tokenizer(root / "many"), hostile.panics(root / "panics")
    strides, header = hostile.strides(root / "sae.pt"), hostile.header(root / "sae.safetensors")
    directory = hostile.directory(root / "params.npz")
    parquet, archive = hostile.parquet(root / "a.parquet"), hostile.archive(root / "a.txt.gz")
    found = {
        "tokenizer, 2,000 letters for one": lambda: ConfinedVocabulary.load(many).ids("eel"),
        "tokenizer that panics": lambda: ConfinedVocabulary.load(panics).ids("eel"),
        "SAE, strides of 0": lambda: description_of(strides),
        "SAE, header of 100 MB": lambda: description_of(header),
        "SAE, a zip of 500,000 members": lambda: description_of(directory),
        "parquet that unpacks to 3 GB": lambda: corpora.build(parquet, root / "usual"),
        "gzip that unpacks to 4 GB": lambda: corpora.build(archive, root / "usual"),
    }
    for what, folder in hostile.models(root / "models").items():
        found[f"model, {what}"] = lambda folder=folder: verdicts.look(folder, vocabulary_in(folder))
    return found


def _said(attempt: Callable) -> str:
    try:
        return f"READ: {str(attempt())[:60]}"
    except (ValueError, OSError) as refusal:
        return str(refusal)[-SENTENCE:].replace("\n", " ")


def in_the_form(site: Site, seconds: float) -> str:
    """Folders below SAEVIZ_FOLDERS, chosen in the form: the site looks at each."""
    root = site.folder / "hostile"
    hostile.remove(root)
    root.mkdir()
    for name in ("deep", "list", "pipe", "layers", "latin"):
        small.write_sae(root / f"sae-{name}")
    hostile.deep(root / "sae-deep" / "cfg.json")
    (root / "sae-list" / "cfg.json").write_text("[1, 2]")
    (root / "sae-pipe" / "cfg.json").unlink()
    os.mkfifo(root / "sae-pipe" / "cfg.json")
    hostile.config(root / "model-layers", n_layers=10**8)
    hostile.pipe(root / "model-pipe")
    hostile.strides(root / "strides.pt")
    with suppress(OSError):  # some systems take no such name
        Path(os.fsdecode(os.fsencode(root) + b"/sae-\xff\xfe")).mkdir()
    staff, statuses, longest = Staff(site), [], 0.0
    with Readers(site) as readers:
        for name in ["", *sorted(entry.name for entry in root.iterdir())]:
            began = time.monotonic()
            path = quote(os.fsencode(root / name)) if name else ""
            statuses.append(staff.get(f"/admin/features/import/add/?path={path}")[0])
            longest = max(longest, time.monotonic() - began)
    hostile.remove(root)
    return f"{readers}; {len(statuses)} looked at: {sorted(set(statuses))}, longest {longest:.1f} s"
