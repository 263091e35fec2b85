"""A second SAE at the same place: which one may be named, and what the pages say of its features."""

import json
import re

import pytest
from django.core.exceptions import ValidationError

from features.models import SAE, Statistics
from tests.browser import browser, page  # noqa: F401

from .. import shown

pytestmark = pytest.mark.django_db
FEATURES_OF_B = [1, 2, 3, 4, 5, 6, 7]


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.shown_sae(tmp_path)


@pytest.fixture
def b(sae, tmp_path):
    """Encoder B of it, with pages, and statistics that know it."""
    b = shown.shown_sae(tmp_path, "other", name="Other <b>run</b>", checkpoint_hash="beef" * 16)
    correlated_with(sae, b)
    return b


def correlated_with(sae, b):
    Statistics.objects.filter(sae=sae).update(encoder_b=b, encoder_b_hash=b.checkpoint_hash)


def told(client, index=0):
    return client.get(f"/saes/tiny/features/{index}.json").json()


def test_an_sae_without_encoder_b_says_nothing_of_one(client, sae):
    data = told(client)
    assert (data["encoder_b"], data["correlated_b"], data["previews_b"]) == (None, [], {})
    assert "Encoder B" not in client.get(sae.get_absolute_url()).content.decode()


def test_features_of_encoder_b_stand_on_the_page_with_their_figures(client, sae, b, django_assert_num_queries):
    # 1 the SAE with statistics, corpus and encoder B, 2 the feature, 3 and 4 the figures of those it links to,
    # 5 what is claimed of it
    with django_assert_num_queries(5):
        data = told(client)
    assert data["encoder_b"] == {
        "slug": "other",
        "name": "Other <b>run</b>",
        "checkpoint": "beef" * 16,
        "address": "/saes/other/features/",
    }
    assert [row["feature"] for row in data["correlated_b"]] == FEATURES_OF_B
    assert set(data["correlated_b"][0]) == {"feature", "pearson", "cosine", "decoder_cosine", "lowest"}
    own = b.statistics.features.get(index=1)
    assert data["previews_b"]["1"]["maximum"] == own.maximum
    about = client.get(sae.get_absolute_url()).content.decode()
    assert "Encoder B" in about and "beef" * 16 in about and "<b>run</b>" not in about


def test_the_page_says_what_its_json_twin_says(client, sae, b):
    page_of = client.get("/saes/tiny/features/0/").content.decode()  # noqa: F811
    data = json.loads(re.search(r'<script id="feature-data"[^>]*>(.*?)</script>', page_of, re.S)[1])
    assert data == told(client)


def test_a_choice_that_the_statistics_do_not_know_yet_is_said(client, sae, b):
    said = "the statistics were computed without it; compute them again"
    sae.encoder_b = b
    sae.save()
    assert said not in client.get(sae.get_absolute_url()).content.decode()
    Statistics.objects.filter(sae=sae).update(encoder_b=None, encoder_b_hash="")
    assert said in client.get(sae.get_absolute_url()).content.decode()


def test_other_weights_under_its_name_are_not_linked(client, sae, b):
    SAE.objects.filter(pk=b.pk).update(checkpoint_hash="other")
    data = told(client)
    assert (data["encoder_b"]["address"], data["previews_b"]) == (None, {})
    assert data["encoder_b"]["checkpoint"] == "beef" * 16 and data["correlated_b"]


def test_what_it_found_outlives_it(client, sae, b):
    SAE.objects.filter(pk=sae.pk).update(encoder_b=b)
    b.delete()
    data = told(client)
    assert (data["encoder_b"]["slug"], data["encoder_b"]["address"]) == (None, None)
    assert "no longer here" in client.get(sae.get_absolute_url()).content.decode()
    assert SAE.objects.get(slug="tiny").encoder_b is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hook_point": "blocks.0.hook_mlp_out"}, "reads the hook point blocks.0.hook_mlp_out, tiny reads blocks."),
        ({"model_path": "/elsewhere"}, "reads the model /elsewhere, tiny reads "),
    ],
)
def test_only_an_sae_of_the_same_place_and_model_can_be_it(sae, b, changes, why):
    SAE.objects.filter(pk=b.pk).update(**changes)
    sae.encoder_b = SAE.objects.get(pk=b.pk)
    with pytest.raises(ValidationError) as refused:
        sae.clean()
    assert why in str(refused.value)


def test_an_sae_cannot_be_its_own(sae, b):
    sae.encoder_b = b
    sae.clean()
    sae.encoder_b = sae
    with pytest.raises(ValidationError, match="cannot be its own encoder B"):
        sae.clean()


@pytest.mark.browser
def test_a_link_leads_to_the_page_of_encoder_b(page, live_server, sae, b):  # noqa: F811
    page.goto(f"{live_server.url}/saes/tiny/features/0/?flag=alive")
    section = page.locator("#correlated-b")
    assert "of Other <b>run</b>, checkpoint beefbeefbe" in section.text_content()
    assert "encoder B: Other <b>run</b>" in page.locator("#reproduce").text_content()
    section.locator(".feature-link").nth(2).click()
    page.wait_for_url("**/saes/other/features/3/")
    assert page.locator("#correlated-b").is_hidden()
