"""Do activations stay after a computation, are they told apart from those of anything else, and can they be freed?"""

import errno

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from features.engine.store.active_entries import ActiveEntriesWriter, Chunk
from features.jobs import loaded_job
from features.jobs.requests import request_statistics
from features.jobs.worker import run_job
from features.models import SAE, Analysis, Claim, ClaimTest, Corpus, KeptActivations, Statistics
from features.storage import kept_activations
from features.storage.kept_activations import NothingKept, kept_of
from tests import made_up

pytestmark = pytest.mark.django_db
TOKENS, D_SAE, SHARDS = 960, 8, 3


@pytest.fixture
def dense():
    rng = np.random.default_rng(1)
    return rng.random((TOKENS, D_SAE)).astype(np.float32) * (rng.random((TOKENS, D_SAE)) < 0.2)


@pytest.fixture(autouse=True)
def with_entries(monkeypatch, engine, sent, dense):
    """Jobs of three shards that leave entries."""

    class Loaded(made_up.Loaded):
        def shard(self, number, place, progress):
            size = TOKENS // SHARDS
            part = dense[number * size : (number + 1) * size].T
            features, tokens = np.nonzero(part)
            with ActiveEntriesWriter(place / f"shard-{number:04d}" / "encoder_a") as writer:
                writer.append(Chunk.of(number * size, size, D_SAE, features, tokens, part[features, tokens]))

    monkeypatch.setattr(loaded_job, "LoadedJob", lambda job: Loaded(job, engine, SHARDS))
    yield
    loaded_job.model_cache.drop()


@pytest.fixture
def computed(tiny):
    return compute(tiny)


def compute(sae):
    job = request_statistics(sae)
    run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.error
    return SAE.objects.get(pk=sae.pk)


def folders(tmp_path):
    return sorted(path.name for path in (tmp_path / "kept").glob("*"))


def test_after_a_computation_all_shards_are_one_set(computed, dense):
    kept, row = kept_of(computed), KeptActivations.objects.get()
    assert row.bytes == kept.bytes and row.entries == np.count_nonzero(dense)
    for index in range(D_SAE):
        np.testing.assert_array_equal(kept.feature(index).tokens, np.flatnonzero(dense[:, index]))
    assert kept.manifest["about"]["checkpoint_hash"] == "c0ffee"


def test_a_new_computation_takes_the_place_of_the_old(computed, tmp_path):
    before = kept_of(computed).folder
    sae = compute(computed)
    assert folders(tmp_path) == [kept_of(sae).folder.name] != [before.name]


def test_a_set_that_a_killed_worker_began_does_not_count_and_goes(computed, tmp_path):
    row = KeptActivations.objects.get()
    half = tmp_path / "kept" / f"{row.statistics_id}-00000000.part"
    half.mkdir()
    (half / "token_values").write_bytes(b"half")
    stranger = tmp_path / "kept" / "notes"
    stranger.mkdir()
    KeptActivations.objects.update(manifest="")
    with pytest.raises(NothingKept, match="^No activations are kept"):
        kept_of(computed)
    kept_activations.remove_leftovers()
    assert folders(tmp_path) == sorted([row.folder, "notes"])


def test_what_is_larger_than_the_setting_is_not_kept_and_said(tiny, settings, tmp_path):
    settings.SAEVIZ_KEPT_BYTES = 1000
    sae = compute(tiny)
    with pytest.raises(NothingKept, match=r"would take \d+\.\d KiB, more than SAEVIZ_KEPT_BYTES allows .1,000 bytes."):
        kept_of(sae)
    assert folders(tmp_path) == [] and sae.statistics.features.count() == D_SAE


def test_a_full_disk_harms_no_statistics(tiny, monkeypatch, tmp_path):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_activations, "write_kept", full)
    sae = compute(tiny)
    with pytest.raises(NothingKept, match="No space left on device"):
        kept_of(sae)
    assert folders(tmp_path) == [] and sae.statistics.features.count() == D_SAE


def test_activations_of_anything_else_are_not_asked(computed):
    changes = [
        (lambda: Corpus.objects.update(sha256="other"), "another text"),
        (lambda: Statistics.objects.update(checkpoint_hash="beef"), r"another weights \(c0ffee, now beef\)"),
        (lambda: KeptActivations.objects.all().delete(), "a version that kept no activations"),
        (lambda: (KeptActivations.objects.all().delete(), Statistics.objects.update(quick=True)), "when all"),
        (lambda: KeptActivations.objects.update(folder="1-00000000"), "to one that this machine sees"),
        (lambda: SAE.objects.update(statistics=None), "no statistics yet"),
    ]
    for change, said in changes:
        with transaction.atomic():
            change()
            with pytest.raises(NothingKept, match=said):
                kept_of(SAE.objects.get())
            transaction.set_rollback(True)
    kept = kept_of(computed)
    for damage, said in (
        (lambda: _flip(kept.folder / "token_features"), "damaged.* another SHA-256"),
        (lambda: (kept.folder / "token_values").write_bytes(b""), "damaged.* has 0 bytes"),
    ):
        damage()
        with pytest.raises(NothingKept, match=said):
            kept_of(computed)


def _flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_the_command_lists_checks_and_frees(computed, capsys, tmp_path):
    call_command("kept_activations", "tiny", "--check")
    out = capsys.readouterr().out
    assert out.startswith("tiny on 960 tokens of tiny: ") and "As they were written." in out
    _flip(kept_of(computed).folder / "feature_values")
    with pytest.raises(CommandError, match="^1 of 1 sets are damaged"):
        call_command("kept_activations", "--check")
    call_command("kept_activations", "--free")
    assert "freed " in capsys.readouterr().out and folders(tmp_path) == []
    assert not Analysis.objects.exists()  # the one that waited to read them
    call_command("kept_activations")
    assert "none. They were freed." in capsys.readouterr().out
    with pytest.raises(NothingKept, match="freed. Recompute"):
        kept_of(computed)


def test_staff_see_what_each_set_takes_and_free_it(computed, admin_client, tmp_path):
    address, row = "/admin/features/keptactivations/", KeptActivations.objects.get()
    assert f"{row.bytes / 1024:.1f} KiB" in admin_client.get(address).content.decode()
    chosen = {"_selected_action": [row.pk]}
    assert (
        "as they were written"
        in admin_client.post(address, chosen | {"action": "check_files"}, follow=True).content.decode()
    )
    assert "Statistics stay." in admin_client.post(address, chosen | {"action": "free"}, follow=True).content.decode()
    assert folders(tmp_path) == []


def test_claims_are_tested_before_the_statistics_are_shown(tiny):
    says = {"kind": "pattern", "pattern": "position(0..)", "f1": 0.1}
    Claim.objects.create(checkpoint_hash="c0ffee", index=0, says=says)
    Claim.objects.create(checkpoint_hash="c0ffee", index=1, says={"kind": "density", "between": [0, 1]})
    Claim.objects.create(checkpoint_hash="other", index=1, says=says)
    Claim.objects.create(checkpoint_hash="c0ffee", index=2, says={"kind": "of tomorrow"})
    sae = compute(tiny)
    tests = {test.claim.index: test for test in ClaimTest.objects.filter(statistics=sae.statistics)}
    assert [tests[0].holds, tests[1].holds, tests[2].holds] == [True, True, None]
    assert tests[0].scores["held"] == tests[0].scores["tokens"] == sae.statistics.tokens
    assert not ClaimTest.objects.filter(claim__checkpoint_hash="other").exists()
    again = compute(sae)
    assert set(ClaimTest.objects.values_list("statistics", flat=True)) == {again.statistics_id}
    request_statistics_of_some(again)
    assert ClaimTest.objects.get(claim__index=1).tested > tests[1].tested


def request_statistics_of_some(sae):
    run_job(request_statistics(sae, features=[1]).pk)
