"""From the name of encoder B, however it is given, to figures that are those of its weights."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from features.jobs.requests import request_statistics
from features.jobs.worker import run_job
from features.messages import BadRequest
from features.models import SAE, Job
from features.storage.payload import unpack_part
from tests.engine import small

from .. import checkpoints

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(tmp_path, settings, sent):
    settings.DATA_DIR = tmp_path / "data"
    settings.SAEVIZ_FOLDERS = [str(tmp_path)]
    return checkpoints.write(tmp_path)


@pytest.fixture
def pair(files, tmp_path):
    """An SAE, and as its encoder B the same features, four places on."""
    small.write_sae(tmp_path / "turned")
    _turn(tmp_path / "turned", 4)
    imported(files, str(tmp_path / "turned"), slug="turned")
    imported(files, slug="first", encoder_b="turned")
    return SAE.objects.get(slug="first"), SAE.objects.get(slug="turned")


def _turn(folder, by):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "sae_weights.safetensors")
    weights |= {name: weights[name].roll(by, 0) for name in ("W_dec", "b_enc")}
    weights["W_enc"] = weights["W_enc"].roll(by, 1)
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "sae_weights.safetensors")


def imported(files, path=None, **options):
    given = {"model": files.model, "corpus": files.text, "how": "none"} | options
    call_command("import_sae", path or files.sae, stdout=io.StringIO(), **given)


def computed(sae, **asked):
    job = request_statistics(sae, **{"tokens": 500} | asked)
    run_job(job.pk)
    job.refresh_from_db()
    sae.refresh_from_db()
    return job


def test_a_feature_of_the_same_weights_in_encoder_b_correlates_fully(pair):
    sae, b = pair
    assert computed(sae).error == ""
    assert (sae.statistics.encoder_b, sae.statistics.encoder_b_hash) == (b, b.checkpoint_hash)
    alive = sae.statistics.features.filter(count__gte=5)
    assert alive.count() > 10
    for feature in alive:
        found = unpack_part(feature.payload, "relatives").correlated_b
        at = np.flatnonzero(found.indices == (feature.index + 4) % small.D_SAE)
        assert len(at) == 1 and at[0] < 3  # features that always fire together may tie
        np.testing.assert_allclose(
            [found.pearson[at[0]], found.cosine[at[0]], found.decoder_cosine[at[0]]], 1, atol=1e-4
        )


def test_statistics_without_it_are_not_those_that_were_asked_for(pair, files):
    sae, b = pair
    SAE.objects.filter(pk=sae.pk).update(encoder_b=None)
    computed(SAE.objects.get(pk=sae.pk))
    imported(files, slug="first", encoder_b="turned", how="compute", tokens=500)
    sae.refresh_from_db()
    assert sae.statistics.encoder_b == b
    jobs = Job.objects.count()
    imported(files, slug="first", how="compute", tokens=500)  # not named again: it stays, and nothing is to be done
    sae.refresh_from_db()
    assert (sae.encoder_b, Job.objects.count()) == (b, jobs)


def test_chosen_features_are_correlated_with_the_weights_that_the_others_were(pair):
    sae, b = pair
    computed(sae)
    assert computed(sae, features=[2, 5], tokens=None).state == "done"
    SAE.objects.filter(pk=b.pk).update(checkpoint_hash="f" * 64)
    with pytest.raises(BadRequest, match="another encoder B .* now ffffffffffff.. Compute all its features"):
        request_statistics(SAE.objects.for_pages().get(pk=sae.pk), features=[2])


def test_an_encoder_b_that_reads_elsewhere_by_now_is_refused_before_anything_is_computed(pair):
    sae, b = pair
    SAE.objects.filter(pk=b.pk).update(hook_point="blocks.0.hook_mlp_out")
    with pytest.raises(BadRequest, match="reads the hook point blocks.0.hook_mlp_out.*Choose another"):
        request_statistics(SAE.objects.get(pk=sae.pk), tokens=100)


def test_an_sae_that_reads_elsewhere_by_now_has_no_encoder_b_any_more(pair, files):
    small.write_sae(Path(files.sae), "blocks.0.hook_mlp_out", small.D_MODEL)
    imported(files, slug="first", how="compute", tokens=300)
    sae = SAE.objects.get(slug="first")
    assert (sae.encoder_b, sae.statistics.encoder_b_hash) == (None, "")


def test_what_cannot_be_encoder_b_is_refused_by_name(files, tmp_path):
    imported(files, slug="first")
    with pytest.raises(CommandError, match="no SAE 'nobody' to be encoder B; there are: first"):
        imported(files, slug="first", encoder_b="nobody")
    small.write_sae(tmp_path / "out", "blocks.0.hook_mlp_out", small.D_MODEL)
    with pytest.raises(CommandError, match="Nothing was imported. first reads the hook point blocks.0.mlp.hook_post"):
        imported(files, str(tmp_path / "out"), encoder_b="first")
    assert SAE.objects.count() == 1


def test_staff_choose_it_in_the_administration(files, pair, client, tmp_path):
    client.force_login(get_user_model().objects.create_superuser("ada"))
    sae, b = pair
    page = client.get("/admin/features/import/add/").content.decode()
    assert 'name="encoder_b"' in page and '<option value="turned">' in page
    form = client.get(f"/admin/features/sae/{sae.pk}/change/").context["adminform"].form
    said = {name: form[name].value() for name in form.fields}
    said = {name: "" if value is None else value for name, value in said.items()}
    said |= {"answers": json.dumps(sae.answers), "created_0": "2026-01-01", "created_1": "00:00:00"}
    refused = client.post(f"/admin/features/sae/{sae.pk}/change/", said | {"encoder_b": sae.pk})
    assert "cannot be its own encoder B" in refused.content.decode()
    assert client.post(f"/admin/features/sae/{sae.pk}/change/", said | {"encoder_b": ""}).status_code == 302
    assert SAE.objects.get(pk=sae.pk).encoder_b is None
    assert Path(sae.path).exists()
