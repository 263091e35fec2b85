"""Staff watch folders below the configured ones, change rules, and free what was read."""

import html

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from features.messages import BadRequest
from features.models import SAE, Checkpoint, Comparison, Corpus, KeptActivations, Run, Statistics, Watch
from features.runs import removal as removal_of_runs
from features.storage import kept_activations, removal
from features.storage.holdings import questions

pytestmark = pytest.mark.django_db
ADD, LIST = "/admin/features/watch/add/", "/admin/features/watch/"


@pytest.fixture(autouse=True)
def _logged_in(client):
    client.force_login(get_user_model().objects.create_superuser("ada"))


def asked(path, **more):
    return {"path": str(path), "every": 0, "panels_every": 10, "rules": "{}", "answers": ""} | more


def test_a_folder_is_watched_from_the_administration(client, files, training):
    page = client.post(ADD, asked(training, model=files.model, answers="k=32"), follow=True).content.decode()
    assert "4 checkpoints are queued" in page
    watch = Watch.objects.get()
    assert watch.restricted and watch.requested_by.username == "ada"
    assert watch.asked == {"model": files.model, "answers": {"k": "32"}}
    assert Checkpoint.objects.waiting().count() == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "/etc"}, "/etc is not below"),
        ({"path": "{root}/nowhere"}, "is no folder that can be read"),
        ({"rules": '{"loss": 1}'}, "There is no rule &#x27;loss&#x27;"),
        ({"rules": '{"loss_spike": "high"}'}, "give a number, or null"),
        ({"answers": "k32"}, "k32 names no value"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(client, files, training, change, said):
    change = {name: value.replace("{root}", str(files.folder)) for name, value in change.items()}
    assert said in client.post(ADD, asked(training) | change).content.decode()
    assert not Watch.objects.exists()


def test_rules_are_changed_and_the_path_stays(client, files, training):
    client.post(ADD, asked(training))
    watch = Watch.objects.get()
    client.post(f"{LIST}{watch.pk}/change/", asked("/etc", rules='{"dead_share": 0.9}', ended="on"))
    watch.refresh_from_db()
    assert (watch.path, watch.rules, watch.ended) == (str(training), {"dead_share": 0.9}, True)


def test_what_a_run_takes_is_said_and_freed(client, made_run, tiny):
    made_run()
    own = SAE.objects.create(**{f: getattr(tiny, f) for f in (
        "name", "path", "model_path", "model_name", "hook_point", "format", "d_in", "d_sae", "corpus",
    )}, slug="of-a-step", checkpoint_hash="x")  # fmt: skip
    Checkpoint.objects.filter(step=1000).update(sae=own)
    assert "records of 2.0 KiB" in client.get(LIST).content.decode()
    watch = Watch.objects.get()
    assert "1 run, records of 2.0 KiB" in client.get(f"{LIST}{watch.pk}/delete/").content.decode()
    client.post(f"{LIST}{watch.pk}/delete/", {"post": "yes"})
    assert not Watch.objects.exists() and not Run.objects.exists() and not Checkpoint.objects.exists()
    assert not SAE.objects.filter(slug="of-a-step").exists()


def test_the_list_of_what_is_watched_says_what_it_takes(made_run, settings, tmp_path, capsys):
    settings.DATA_DIR = tmp_path
    run = made_run()
    Corpus.objects.filter(pk=run.rows_id).update(slug="run-rows-made")
    kept = tmp_path / "run-rows" / "run-rows-made-1"
    kept.mkdir(parents=True)
    (kept / "activations").write_bytes(bytes(3072))
    call_command("watch")
    assert "records of 2.0 KiB, the model's activations on its rows 3.0 KiB" in capsys.readouterr().out


def test_what_is_at_work_is_not_freed(made_run):
    made_run()
    Checkpoint.objects.filter(step=2000).update(state="running")
    with pytest.raises(CommandError, match="at work. Cancel that first"):
        call_command("watch", "/made", free=True)
    assert Run.objects.exists()


def test_an_sae_goes_with_what_names_it_and_not_while_somebody_uses_it(client, made_run, tiny, settings, tmp_path):
    settings.SAEVIZ_KEPT = tmp_path
    made_run()
    fields = ("name", "path", "model_path", "model_name", "hook_point", "format", "d_in", "d_sae", "corpus")
    own = SAE.objects.create(**{name: getattr(tiny, name) for name in fields}, slug="second", checkpoint_hash="x")
    compared = Comparison.objects.create(sae=tiny, other=own, state="queued")
    delete = f"/admin/features/sae/{own.pk}/delete/"

    def refused(sentence):
        assert sentence in html.unescape(client.get(delete).content.decode())
        with pytest.raises(BadRequest, match=sentence):
            removal.remove_sae(own)

    refused("It is in use: comparison")  # though it is the second of the two
    Comparison.objects.update(state="done")
    shown = Statistics.objects.create(sae=own, corpus=tiny.corpus)
    kept = KeptActivations.objects.create(
        statistics=shown, folder=f"{shown.pk}-00000000", manifest="m", entries=1, bytes=1
    )
    folder = kept_activations.path_of(kept)
    folder.mkdir(parents=True)
    (folder / questions.MANIFEST).write_text("{}")
    with questions.reading(folder):
        refused("A question is being asked of it.")
    SAE.objects.filter(pk=tiny.pk).update(encoder_b=own)
    page = client.get(delete).content.decode()
    assert "1 comparison with other SAEs; 1 whose encoder B it is has none then" in page
    # With the run that it is of it goes the same way.
    Checkpoint.objects.filter(step=1000).update(sae=own)
    removal_of_runs.remove(Watch.objects.get())
    assert not SAE.objects.filter(pk=own.pk).exists() and not Comparison.objects.filter(pk=compared.pk).exists()
    assert not folder.exists()


def test_what_was_read_is_removed_by_whom_may_delete_and_not_by_whom_may_compute(client, made_run):
    made_run()
    delete = f"{LIST}{Watch.objects.get().pk}/delete/"
    bob = get_user_model().objects.create_user("bob", is_staff=True)
    bob.user_permissions.add(Permission.objects.get(codename="add_job"))
    client.force_login(bob)
    assert client.get(LIST).status_code == 200
    assert client.post(delete, {"post": "yes"}).status_code == 403 and Run.objects.exists()
    bob.user_permissions.add(Permission.objects.get(codename="delete_watch"))
    client.post(delete, {"post": "yes"})
    assert not Run.objects.exists()


def test_lists_of_work_leave_what_they_do_not_show_in_the_database(client, made_run, tiny):
    made_run()
    fields = ("name", "path", "model_path", "model_name", "hook_point", "format", "d_in", "d_sae", "corpus")
    for slug in ("second", "third"):
        own = SAE.objects.create(**{name: getattr(tiny, name) for name in fields}, slug=slug)
        Comparison.objects.create(sae=tiny, other=own, pairs=b"much")

    def asked(address):
        with CaptureQueriesContext(connection) as found:
            assert client.get(address).status_code == 200
        return [query["sql"] for query in found]

    checkpoints = asked("/admin/features/checkpoint/")
    comparisons = asked("/admin/features/comparison/")
    assert not [sql for sql in checkpoints if '"figures"' in sql] and not [sql for sql in comparisons if "pairs" in sql]
    made_run(slug="more")
    Comparison.objects.create(sae=tiny, other=own, pairs=b"much")
    assert len(asked("/admin/features/checkpoint/")) == len(checkpoints)
    assert len(asked("/admin/features/comparison/")) == len(comparisons)
