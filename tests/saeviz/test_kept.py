"""Staff see what the site keeps, are told what goes with each, and remove what nobody uses."""

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from features.models import SAE, Analysis, Corpus, Feature, Job, KeptActivations, Statistics
from features.storage import kept_activations
from saeviz.kept import sizes
from tests import made_up
from tests.features.shown import store

KEPT, REMOVE = "/admin/kept/", "/admin/kept/remove/"


class Now:
    """A thread that runs where it is started: the test's transaction is its own."""

    def __init__(self, target, args=(), **options):
        self.start, self.join, self.is_alive = (lambda: target(*args)), (lambda patience: None), (lambda: False)


@pytest.fixture
def shown(client, tiny, settings, tmp_path, monkeypatch):
    """Statistics of the tiny SAE with kept activations, a backup and a download that it stands on; staff looks."""
    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(sizes.threading, "Thread", Now)
    monkeypatch.setattr(sizes.connections, "close_all", lambda: None)
    monkeypatch.setattr(sizes.sizes, "counted_at", None)
    statistics = store(tiny, made_up.Collected())
    row = KeptActivations.objects.create(
        statistics=statistics, folder=f"{statistics.pk}-0badcafe", entries=7, bytes=6000, manifest="f" * 64
    )
    for path in ("hub/ada/tiny/sae.safetensors", "backups/one.zip", "hub/ada/.listing"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(3000))
    kept_activations.path_of(row).mkdir(parents=True)
    (kept_activations.path_of(row) / "manifest.json").write_text("{}")
    client.force_login(get_user_model().objects.create_superuser("root"))
    return statistics


def asked(client, kind, key, **post):
    address = f"{REMOVE}?kind={kind}&key={key}"
    answer = client.post(address, follow=True) if post else client.get(address)
    return answer, answer.content.decode()


def test_everything_is_listed_with_its_size_and_removed_once_what_is_lost_was_said(client, shown, tiny, tmp_path):
    SAE.objects.filter(pk=tiny.pk).update(path=str(tmp_path / "hub" / "ada" / "tiny"))
    page = client.get(KEPT).content.decode()
    for said in (
        "7 active entries in",
        "5.9 KiB",
        "hub/ada/tiny",
        "2.9 KiB",
        "backups/one.zip",
        "960 tokens in",
        "Tiny",
    ):
        assert said in page
    _, page = asked(client, "hub", "ada/tiny")
    assert "Tiny cannot be read any more: prompts and computations of it end; its pages stay." in page
    assert "Downloaded again" in page and (tmp_path / "hub/ada/tiny").exists()
    assert "Removed:" in asked(client, "hub", "ada/tiny", yes=True)[1] and not (tmp_path / "hub/ada/tiny").exists()
    _, page = asked(client, "statistics", shown.pk)
    assert "Labels, claims, findings and gradings stay" in page and "nobody knows before the first" in page
    asked(client, "statistics", shown.pk, yes=True)
    assert not Statistics.objects.exists() and not Feature.objects.exists()
    assert SAE.objects.get(pk=tiny.pk).statistics is None
    assert "backups/one.zip" in client.get(KEPT).content.decode()


def test_what_is_in_use_is_refused_with_a_sentence_at_every_door(client, shown, tiny):
    kept = shown.kept
    with kept_activations.asked(shown):
        answer, page = asked(client, "activations", kept.pk, yes=True)
        assert answer.status_code == 409 and "A question is being asked of them. Wait" in page
        with pytest.raises(CommandError, match="A question is being asked"):
            call_command("kept_activations", "tiny", free=True)
    at_work = Analysis.objects.create(sae=tiny, statistics=shown, state="running")
    assert f"It is in use: {at_work}. Cancel that first" in asked(client, "activations", kept.pk, yes=True)[1]
    at_work.delete()
    job = Job.objects.create(sae=tiny, corpus=tiny.corpus, tokens=900, state="running")
    for kind, key in (("statistics", shown.pk), ("corpus", "tiny")):
        assert f"It is in use: {job}." in asked(client, kind, key, yes=True)[1]
        with pytest.raises(CommandError, match="Nothing was removed. It is in use: job"):
            call_command("kept", remove=[kind, str(key)])
    job.delete()
    assert "is used by the SAE tiny, statistics" in asked(client, "corpus", "tiny", yes=True)[1]
    assert "it is not the site" in asked(client, "findings", "tiny", yes=True)[1]
    assert KeptActivations.objects.get().manifest and Statistics.objects.exists() and Corpus.objects.exists()
    assert asked(client, "hub", "../backups")[0].status_code == 302


def test_only_who_may_compute_sees_it_and_only_who_may_delete_removes(client, shown, tmp_path):
    from tests.features.test_admin import user

    client.force_login(user("ada", "add_job"))
    assert "backups/one.zip" in client.get(KEPT).content.decode()
    assert asked(client, "backups", "one.zip", yes=True)[0].status_code == 403
    client.force_login(user("eve", "view_job"))
    assert client.get(KEPT).status_code == 403 and (tmp_path / "backups/one.zip").exists()
    assert "/admin/kept/" not in client.get("/admin/").content.decode()


def test_an_sae_is_not_deleted_while_something_works_on_it(client, shown, tiny):
    delete = f"/admin/features/sae/{tiny.pk}/delete/"
    job = Job.objects.create(sae=tiny, corpus=tiny.corpus, tokens=900)
    assert "It is in use:" in client.post(delete, {"post": "yes"}).content.decode()
    assert SAE.objects.filter(pk=tiny.pk).exists()
    Job.objects.filter(pk=job.pk).update(state=Job.State.CANCELLED)
    client.post(delete, {"post": "yes"})
    assert not SAE.objects.filter(pk=tiny.pk).exists()
