"""Writes tests/data/written_by_a7716e1: a DATA_DIR as that version left it, and what its pages showed.

Run at a7716e1, whose modules it names; this file and tests/saeviz/data_dirs.py are all that a checkout of it lacks:

    python -m tests.data.make_data_dir
"""

import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
INTO = Path(__file__).parent / "written_by_a7716e1"
DATA = Path(tempfile.mkdtemp()).resolve()
MODEL, TEXT, SAES = DATA / "models" / "small", DATA / "texts" / "readme.txt", DATA / "checkpoints"
NEEDLES, PINES, CONES, LATE = SAES / "needles", SAES / "pines", SAES / "7.pt", SAES / "late"
FINDINGS = {
    "features": [
        {"feature": 8, "name": "Nearly everywhere", "sentence": "Fires on most text.", "look_at": "The density."},
        {"feature": 21, "name": "Rare", "sentence": "Fires on “<b>”, & seldom.", "look_at": "The intervals.",
         "checks": [{"kind": "density", "between": [0, 1]}]},
    ],
    "prompts": [
        {"name": "The name", "text": "make run", "position": 3, "rank": "act_size", "sentence": "It starts here.",
         "expect": [{"position": 3, "rank": "act_size", "feature": 21, "within": 300}]}
    ],
}  # fmt: skip
LISTED = (
    "sort=-density",
    "sort=top_token&page=2",
    "show=sparse&sort=-maximum",
    "show=dead",
    "q=e&by=boosted",
    "q=make&by=examples",
)
FEATURES = (0, 3, 8, 9, 21, 150, 299)  # 3 is dead (as are 73, 143 ...), 8 and 9 are dense

os.environ |= {"DATA_DIR": str(DATA), "DJANGO_SETTINGS_MODULE": "saeviz.settings", "OMP_NUM_THREADS": "1"}
import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from django.contrib.auth.models import Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import override_settings  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from features import asking, claims, computing, importing, imports, jobs, verifying  # noqa: E402
from features.engine.hub import Received  # noqa: E402
from features.engine.results import Progress  # noqa: E402
from features.engine.subject import Subject  # noqa: E402
from features.models import SAE, Corpus, Import, Job  # noqa: E402
from tests.engine import small  # noqa: E402
from tests.saeviz import data_dirs  # noqa: E402


def write_files():
    """A model, a corpus in its row, and SAEs; one of those is cut short before it can be imported."""
    small.write_model(MODEL)
    TEXT.parent.mkdir()
    TEXT.write_text((ROOT / "README.md").read_text())
    told = {"slug": "readme", "name": "README <of> saeviz", "licence": "MIT, saeviz's own"}
    call_command("add_corpus", str(TEXT), model=str(MODEL), **told)
    small.write_sae(LATE)
    subject, rows = Subject.load(MODEL, LATE, small.HOOK, device="cpu"), np.load(Corpus.objects.get().path)
    hidden = torch.cat([subject.activations(row)[0][1:] for row in rows.astype(np.int64)])  # [tokens, d_mlp]
    write_sae(PINES, hidden, 300, seed=1, dense={8: 0.3, 9: 0.6})
    write_sae(NEEDLES, hidden, 24, seed=2)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(write_sae(Path(folder), hidden, 40, seed=4), CONES)
    config = {"d_mlp": small.D_MLP, "dict_size": 40, "act_size": small.D_MLP, "model_name": "small"}
    CONES.with_name("7_cfg.json").write_text(json.dumps(config | {"hook_point": small.HOOK}))
    (PINES / "findings.json").write_text(json.dumps(FINDINGS))
    CONES.with_name("7.findings.json").write_text(json.dumps({"features": FINDINGS["features"]}))


def write_sae(folder, hidden, size, seed, dense=None):
    """An SAE of random directions and chosen densities that gives back what it can; returns its weights."""
    with mock.patch.object(small, "D_SAE", size):
        small.write_sae(folder, seed=seed)
    weights = load_file(folder / "sae_weights.safetensors")
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    densities = dict(enumerate((10 ** (-3 + 1.7 * drawn)).tolist())) | (dense or {})
    before = (hidden - weights["b_dec"]) @ weights["W_enc"]  # [tokens, size]
    weights["b_enc"] = torch.stack([-before[:, n].quantile(1 - share) for n, share in densities.items()])
    weights["b_enc"][3::70] = -1e4
    features = (before + weights["b_enc"]).relu()
    weights["W_dec"] *= 0.01  # of dead ones, too
    weights["W_dec"] += torch.linalg.lstsq(features, hidden - weights["b_dec"], driver="gelsd").solution
    save_file(weights, folder / "sae_weights.safetensors")
    return weights


def write_rows():
    ada = User.objects.create_user("ada", is_staff=True)
    ada.user_permissions.set(Permission.objects.filter(content_type__app_label="features"))
    asked = {"model": str(MODEL), "corpus": "readme"}
    call_command("import_sae", str(CONES), slug="cones", name="Cones", tokens=5000, **asked)

    # An import in each state, the jobs of the SAE that it brings, and a verification.
    pines = imports.incoming.Asked(str(PINES), slug="pines", name="Pines", tokens=6000, encoder_b="cones", **asked)
    done = imports.request_import(pines, ada)
    imports.run_import(done.pk)
    sae = SAE.objects.get(slug="pines")
    computing.run_job(sae.jobs.get().pk)
    verifying.run_verification(sae.pk)
    late = imports.incoming.Asked(str(LATE), slug="late", **asked)
    cancelled, failed, running, _ = (imports.request_import(late, ada) for _ in range(4))
    imports.cancel(cancelled)
    Import.objects.filter(pk=running.pk).update(state="running")
    imports.Report(running.pk).received(Received("model.safetensors", 3_000_000, 9_000_000, 1e6))
    weights = LATE / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:999])
    imports.run_import(failed.pk)
    jobs.cancel(begun(sae, 2, user=ada, how="admin"))
    asking.request_statistics(sae, user=ada, how="admin")

    # The demo's hash is that of a folder; its newest job was at work when the worker went away.
    corpus = sae.corpus
    needles = importing.register_sae("needles", NEEDLES, MODEL, corpus, name="Needles")
    call_command("compute_features", "needles", tokens=4000)
    call_command("compute_features", "needles", features=[1, 2])
    job = begun(needles, 2, tokens=3000, how="first start")
    claims.claim(job.pk).progress(Progress("merging", 1000, 3000))

    with override_settings(SAEVIZ_SHARE="database"):
        job = begun(SAE.objects.get(slug="cones"), 3, tokens=500, how="command")
        claims.claim(job.pk).give_up("No space left on device.")
    computing.model.drop()


def begun(sae, parts, **asked):
    """A job with so many parts done."""
    job = asking.request_statistics(SAE.objects.for_pages().get(pk=sae.pk), **asked)
    for _ in range(parts):
        computing.run_part(claims.claim(job.pk))
    return job


def addresses():
    yield "/"
    for slug in ("pines", "cones", "needles"):
        yield from (f"/saes/{slug}/", f"/saes/{slug}/features/", f"/saes/{slug}/jobs.json")
    yield from (f"/saes/pines/features/{index}.json" for index in (*FEATURES, 300))
    yield from ("/saes/pines/features/8/", "/saes/cones/features/7.json", "/saes/needles/features/1.json")
    for listed in LISTED:
        yield f"/saes/pines/features/?{listed}"
    for what, rows in (("jobs", Job.objects), ("imports", Import.objects)):
        yield from (f"{data_dirs.STAFF}/{what}/{pk}.json" for pk in rows.order_by("pk").values_list("pk", flat=True))


def main():
    call_command("migrate", verbosity=0)
    write_files()
    with mock.patch("features.claims._me", lambda: "machine, process 1"):
        write_rows()
    shutil.rmtree(DATA / "shards")
    time.sleep(25)  # until it is said which jobs are not heard from
    asked, shown = json.dumps(list(addresses())), [sys.executable, "-m", "tests.saeviz.data_dirs"]
    told = subprocess.run(shown, cwd=ROOT, input=asked, capture_output=True, text=True, check=True).stdout
    django.db.connections.close_all()
    database = DATA / "saeviz.sqlite3"
    data_dirs.move(database, str(DATA), data_dirs.SOMEWHERE)
    with closing(sqlite3.connect(database, isolation_level=None)) as rows:
        for line in ("DELETE FROM django_session", "PRAGMA journal_mode=DELETE", "VACUUM"):
            rows.execute(line)
    INTO.mkdir(exist_ok=True)
    (INTO / "shown.json.xz").write_bytes(lzma.compress(told.encode(), preset=9))
    with tarfile.open(INTO / "data.tar.xz", "w:xz", preset=9) as tar:
        for name in ("saeviz.sqlite3", "checkpoints", "models", "corpora", "texts"):
            tar.add(DATA / name, name, filter=unnamed)


def unnamed(member):
    member.uname = member.gname = ""
    member.uid = member.gid = 0
    return member


if __name__ == "__main__":
    main()
