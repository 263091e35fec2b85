"""Staff import SAEs in a browser: only from the configured folders, read by a worker, and told how it went."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from safetensors.torch import load_file, save_file

from features import tasks
from features.importing import job, plan
from features.importing.request import ImportRequest
from features.jobs import leases, lifecycle, worker
from features.jobs.verification import request_verification
from features.models import SAE, Feature, Import, Job, Verification
from tests.engine import small

from .. import checkpoints

pytestmark = pytest.mark.django_db
ADD, LIST = "/admin/features/import/add/", "/admin/features/import/"


@pytest.fixture
def files(tmp_path, settings, sent, monkeypatch):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path / "open")]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    (tmp_path / "open").mkdir()
    return checkpoints.write(tmp_path / "open")


@pytest.fixture
def corpus(files):
    from features.importing import corpora

    return corpora.build(files.text, files.model, slug="pines").register()


@pytest.fixture(autouse=True)
def _logged_in(client):
    client.force_login(get_user_model().objects.create_superuser("ada"))


def work(kind):
    """What a worker does that is woken, of one kind."""
    worker.work({kind: tasks.KINDS[kind]})


def asked(files, **more):
    return {"path": files.sae, "model": files.model, "corpus": "pines"} | more


def test_the_page_offers_saes_below_the_configured_folders_and_models(client, files):
    page = client.get(ADD).content.decode()
    assert f'<option value="{files.sae}">' in page and f'<option value="{files.model}">' in page
    assert page.count("run1") == 2 and "Import an SAE" in page  # the model's own weights are no SAE


def test_a_worker_imports_what_was_chosen(client, files, corpus, sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(ADD, asked(files, name="Mine", tokens="300"), follow=True)
    row = Import.objects.get()
    assert "Asked for 9,999,999 tokens; the corpus" in client.post(ADD, asked(files, tokens="9999999")).content.decode()
    assert sent == ["ring"] and not SAE.objects.exists()
    assert f"Import {row.pk} of {files.sae} is queued. For 300 tokens. Time: nobody knows" in answer.content.decode()
    work(Import)
    row.refresh_from_db()
    assert (row.state, row.error, row.sae.name) == ("done", "", "Mine")
    asked_for = Job.objects.get()
    assert (asked_for.sae, asked_for.tokens, asked_for.requested_by.username) == (row.sae, 300, "ada")
    assert row.sae.get_absolute_url() in client.get(LIST).content.decode()
    work(Import)  # a message that came twice
    assert Job.objects.count() == 1


def test_encoder_b_is_chosen_with_the_files(client, files, corpus, imported, tmp_path):
    small.write_sae(tmp_path / "open" / "second", seed=4)
    client.post(ADD, asked(files, path=str(tmp_path / "open" / "second"), encoder_b="mine"))
    work(Import)
    row = Import.objects.get()
    assert (row.error, row.sae.encoder_b) == ("", imported)
    assert Job.objects.order_by("pk").last().encoder_b == imported


def test_weights_are_not_read_in_the_web_process(client, files, corpus, monkeypatch):
    from features.engine.sae.reading import contents

    monkeypatch.setattr(contents.CheckpointContents, "tensor", lambda *a: pytest.fail("a tensor was read"))
    client.post(ADD, asked(files))
    assert Import.objects.get().state == "queued"


def test_what_the_files_do_not_say_becomes_fields(client, files, corpus):
    weights = load_file(Path(files.sae) / "sae_weights.safetensors")
    (Path(files.folder) / "bare").mkdir()
    save_file(weights, files.folder / "bare" / "x.safetensors")
    bare = asked(files, path=str(files.folder / "bare"))
    page = client.post(ADD, bare).content.decode()
    assert 'name="answer_apply_b_dec_to_input"' in page and "please answer the questions below" in page
    assert f'<option value="{small.HOOK}">' in page
    page = client.post(ADD, bare | {"answer_apply_b_dec_to_input": "yes"}).content.decode()
    assert '<input type="hidden" name="answer_apply_b_dec_to_input" value="yes">' in page
    client.post(ADD, bare | {"answer_apply_b_dec_to_input": "yes", "answer_hook_point": small.HOOK})
    work(Import)
    assert SAE.objects.get().answers == {"apply_b_dec_to_input": "yes"}


def test_paths_outside_the_configured_folders_are_refused(client, files, corpus, tmp_path):
    small.write_sae(tmp_path / "closed")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "closed")
    for path in (tmp_path / "closed", f"{tmp_path}/open/../closed", tmp_path / "open" / "link", "/etc/passwd", "run1"):
        page = client.post(ADD, asked(files, path=str(path))).content.decode()
        assert "is not below" in page or "is refused: give a whole path" in page, path
    for model in ({"model": str(tmp_path)}, {"model": "", "answer_model": str(tmp_path)}):
        client.post(ADD, asked(files, **model))
    assert not Import.objects.exists()


def test_a_link_that_turned_away_since_is_refused_by_the_worker(client, files, corpus, tmp_path):
    small.write_sae(tmp_path / "closed")
    row = Import.objects.create(path="x", asked=asked(files, path=str(tmp_path / "closed"), hook=""))
    work(Import)
    row.refresh_from_db()
    assert row.state == "failed" and "is not below" in row.error and not SAE.objects.exists()


def test_a_failure_is_a_sentence_in_the_list(client, files, corpus):
    client.post(ADD, asked(files))
    weights = Path(files.sae) / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    row = Import.objects.get()
    work(Import)
    assert "cut short or damaged" in client.get(LIST).content.decode()
    told = client.get(f"/imports/{row.pk}.json").json()
    assert told["state"] == "failed" and told["sentence"].startswith("failed: ")


def test_an_import_whose_worker_is_gone_is_queued_again_but_not_for_ever(files, settings):
    row, fresh = (Import.objects.create(path="x", state="running", heartbeat=timezone.now()) for _ in range(2))
    settings.SAEVIZ_ATTEMPTS = 2
    for attempts, state in ((1, "queued"), (2, "failed")):
        long_ago = timezone.now() - timedelta(seconds=60)
        Import.objects.filter(pk=row.pk).update(state="running", heartbeat=long_ago, attempts=attempts)
        lifecycle.pick_up_silent(Import)
        row.refresh_from_db()
        assert row.state == state
    assert row.error.startswith("The worker went away 2 times while it ran") and row.can_be_retried
    assert Import.objects.get(state="running") == fresh


def test_a_worker_that_was_only_slow_writes_nothing_of_an_import_it_lost(files, corpus):
    late = leases.claim(job.request_import(ImportRequest(files.sae, files.model, corpus="pines")))
    Import.objects.update(heartbeat=timezone.now() - timedelta(seconds=60))
    lifecycle.pick_up_silent(Import)
    work(Import)
    assert SAE.objects.count() == Job.objects.count() == 1
    assert not worker.do(late, tasks.KINDS[Import])
    assert SAE.objects.count() == Job.objects.count() == 1 and Import.objects.get().state == "done"


def test_only_staff_may(files, corpus):
    plain, crossed = Client(), Client(enforce_csrf_checks=True)
    plain.force_login(get_user_model().objects.create_user("bob", is_staff=True))
    assert plain.get(ADD).status_code == 403 and plain.post(ADD, asked(files)).status_code == 403
    assert Client().get(ADD).status_code == 302
    crossed.force_login(get_user_model().objects.get(username="ada"))
    assert crossed.post(ADD, asked(files)).status_code == 403
    row = Import.objects.create(path="x")
    assert plain.get(f"/imports/{row.pk}.json").status_code == 403
    assert not Import.objects.exclude(pk=row.pk).exists()


# What the pages of an imported SAE say


@pytest.fixture
def imported(files, corpus, monkeypatch):
    from features.jobs import requests

    sae = plan.carry_out(plan.plan_import(ImportRequest(files.sae, files.model, corpus="pines", slug="mine")))
    worker.run_job(requests.request_statistics(sae, tokens=400, send=False).pk)
    return SAE.objects.for_pages().get()


def test_the_page_tells_the_self_check_and_the_provenance(client, imported):
    page = client.get("/saes/mine/").content.decode()
    assert "Self-check at import" in page and "L0" in page
    for told in (imported.checkpoint_hash, "saelens, stored as float32", "sequences with BOS", "small", "seed 0"):
        assert told in page
    imported.self_check |= {"passed": False, "findings": ["Explained variance -3.10 <b>"], "others": ["at x give 0.81"]}
    imported.save()
    page = client.get("/saes/mine/").content.decode()
    assert "Check this" in page and "Explained variance -3.10 &lt;b&gt;" in page and "at x give 0.81" in page


def test_stored_activations_are_verified_by_a_worker(client, imported):
    assert client.post("/saes/mine/verify/").url == "/saes/mine/#verification"
    assert client.post("/saes/mine/verify/").url == "/saes/mine/#verification"  # at work already
    asked_for = Verification.objects.get()
    assert (asked_for.state, asked_for.requested_by.username, asked_for.requested_how) == ("queued", "ada", "page")
    assert f'data-progress="/verifications/{asked_for.pk}.json"' in client.get("/saes/mine/").content.decode()
    work(Verification)
    imported.refresh_from_db()
    found = imported.verification
    assert found["passed"] and found["activations"] > 20 and found["largest_difference"] < 1e-4
    page = client.get("/saes/mine/").content.decode()
    assert "The stored activations are those of the files" in page and "/verifications/" not in page
    assert client.get(f"/verifications/{asked_for.pk}.json").json()["sentence"] == "done"


def test_a_verification_whose_worker_is_gone_is_found_again(imported):
    leases.claim(request_verification(imported))
    Verification.objects.update(heartbeat=timezone.now() - timedelta(seconds=60))
    lifecycle.pick_up_silent(Verification)
    assert Verification.objects.get().state == "queued"
    work(Verification)
    assert SAE.objects.get().verification["passed"] and Verification.objects.get().state == "done"


def test_a_verification_is_cancelled_and_tried_again_like_a_computation(client, imported):
    request_verification(imported)
    number = Verification.objects.get().pk
    told = client.post(f"/verifications/{number}/cancel/").json()
    assert (told["kind"], told["state"], told["can_cancel"], told["can_retry"]) == (
        "verification",
        "cancelled",
        False,
        True,
    )
    work(Verification)
    assert SAE.objects.get().verification is None
    assert client.post(f"/verifications/{number}/retry/").json()["state"] == "queued"
    listed = client.get("/admin/features/verification/").content.decode()
    assert f'data-post="/verifications/{number}/cancel/"' in listed
    lease = leases.claim(Verification.objects.get())
    client.post(f"/verifications/{number}/cancel/")
    assert not worker.do(lease, tasks.KINDS[Verification])
    assert Verification.objects.get().state == "cancelled" and SAE.objects.get().verification is None
    assert Client().post(f"/verifications/{number}/retry/").status_code == 403


def test_weights_that_were_changed_since_do_not_verify(client, imported):
    path = Path(imported.path) / "sae_weights.safetensors"
    weights = load_file(path)
    save_file(weights | {"W_enc": weights["W_enc"] * 1.01}, path)
    request_verification(imported)
    work(Verification)
    imported.refresh_from_db()
    assert not imported.verification["passed"] and imported.verification["largest_difference"] > 1e-3
    path.unlink()
    request_verification(imported)
    work(Verification)
    page = client.get("/saes/mine/").content.decode()
    assert "Verification failed: " in page and "The stored activations are not those of the files" in page


def test_only_staff_may_have_it_verified(imported):
    assert Client().post("/saes/mine/verify/").status_code == 403
    assert Client().get("/saes/mine/verify/").status_code == 405
    assert "<button>Verify" not in Client().get("/saes/mine/").content.decode()
    assert not Verification.objects.exists()


def test_the_snippets_print_the_numbers_of_their_pages(client, imported, settings):
    shown = Feature.objects.shown_of(imported)
    features = [some.order_by("-maximum").first() for some in (shown.alive(), shown.dead())]
    pages = [client.get(f"/saes/mine/features/{feature.index}.json").json() for feature in features]
    # One after the other in one process: most of its time goes into loading what they import.
    done = subprocess.run(
        [sys.executable, "-c", "\nprint('next')\n".join(data["reproduce"] for data in pages)],
        cwd=settings.BASE_DIR, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for data, printed in zip(pages, done.stdout.split("next\n"), strict=True):
        _prints_the_numbers_of(data, printed)


def _prints_the_numbers_of(data, printed):
    told = dict(line.rsplit(" ", 1) for line in printed.splitlines())
    assert float(told["density"]) == pytest.approx(data["density"], rel=1e-9)
    assert float(told["top activation"]) == pytest.approx(data["maximum"], rel=1e-5)
    assert float(told["mean activation"]) == pytest.approx(data["mean"], rel=1e-5)
    assert int(told["tokens"]) == data["population"]["tokens"]
    boosted = [[int(name.removeprefix("logit of token ")), float(told[name])] for name in told if "logit" in name]
    assert [token for token, _ in boosted] == [entry["token"] for entry in data["logits"]["positive"]]
    assert [value for _, value in boosted] == pytest.approx(
        [entry["value"] for entry in data["logits"]["positive"]], rel=1e-4
    )
    assert json.dumps(data["reproduce"]).count("import") and data["population"]["bos"] is True


def test_a_name_cannot_become_code(imported):
    from features.browse.reproduce import feature_snippet

    imported.name = "Mine\nimport os\n"
    assert "# Mine import os: density" in feature_snippet(imported, imported.statistics, 1)


def test_hostile_names_and_settings_are_sentences_in_the_form(client, files):
    sae, model = Path(files.sae), Path(files.model)
    odd = os.fsdecode(os.fsencode(sae.parent) + b"/\xff\xe9")
    shutil.copytree(sae, odd)
    shutil.copy(sae / "cfg.json", os.fsdecode(os.fsencode(sae) + b"/\xff.json"))
    os.mkfifo(sae.parent / "pipe.safetensors")
    assert f'value="{files.sae}"' in client.get(ADD).content.decode()
    for text, words in (
        ("[" * 100_000, "brackets"),
        ("[]", "holds a list"),
        ('{"n_layers": 100000000}', "at most 10,000"),
    ):
        (model / "config.json").write_text(text)
        page = client.post(ADD, asked(files, corpus="")).content.decode()
        assert words in page and "config.json" in page, text[:20]
    assert not Import.objects.exists()
