"""What does an SAE's page say of a dictionary that is healthy, broken, or was not looked at?"""

import html
import re

import pytest

from features.models import Checkpoint, Feature, Run, Statistics
from features.runs.checkpoint_health import counts
from features.runs.history import CURVES

from .. import shown

HEALTHY = {
    "directions": 11,
    "common_direction": 0.014,
    "first_share": 0.052,
    "common_direction_rarest": 0.016,
    "first_share_rarest": 0.061,
    "encoder_decoder_cosine": 0.65,
    "apart": 1,
    "rare": 3,
    "largest_l0": 9,
    "sampled_tokens": 4200,
    "sampled_alive": 10,
    "swarm": 2,
    "agree": 6,
    "of_a_later_version": 1,
}


@pytest.fixture
def page(client, db, tmp_path):
    """The page's words, with figures of health as they may be stored."""
    sae = shown.shown_sae(tmp_path)

    def page(tokens=500_000, **health):
        Statistics.objects.update(health=health, tokens=tokens)
        words = re.sub(r"<[^>]*>", " ", client.get(sae.get_absolute_url()).content.decode())
        return " ".join(html.unescape(words).split())

    return page


def test_each_figure_stands_with_its_count_and_population(page):
    read = page(**HEALTHY)
    for told in (
        "Common encoder direction 0.014 mean cosine of each two encoder columns, of 11 features",
        "Of the half that fires least 0.016", "5.20 % lie on their first singular direction, of that half's 6.10 %",
        "Encoder and decoder 0.65 median cosine of a feature's two; below 0.2 of 1 of 12 features",
        "Swarm 2 20.0 % of 10 features that fired on 4,200 tokens", "Agree 6 60.0 % of the same",
        "Below 1 in 10,000 3 25.0 % of 12 features, dead ones among them, on 500,000 tokens", "Largest L0 9",
    ):  # fmt: skip
        assert told in read, told
    assert "share one encoder direction" not in read


def test_a_shared_direction_is_warned_of_as_the_site_is_set(page, settings):
    warned = "Its features share one encoder direction: mean cosine 0.33, above 0.2."
    assert warned in page(**HEALTHY | {"common_direction": 0.327})
    rarest = page(**HEALTHY | {"common_direction_rarest": 0.63})
    assert "The rarer half of its features share one encoder direction: mean cosine 0.63, above 0.2." in rarest
    settings.SAEVIZ_COMMON_DIRECTION = 0.4
    assert warned not in page(**HEALTHY | {"common_direction": 0.327})


def test_statistics_of_an_earlier_version_say_what_is_missing(page):
    assert "Health not computed yet these statistics are of an earlier version: compute them again" in page()


def test_how_many_fire_seldom_is_not_told_from_few_tokens(page):
    assert "Below 1 in 10,000 3 25.0 %" in page(100_000, **HEALTHY)
    assert "Below 1 in 10,000 – not to be told from 99,999 tokens" in page(99_999, **HEALTHY)


def test_a_few_features_have_no_common_direction(page):
    read = page(**HEALTHY | {"common_direction": None, "common_direction_rarest": None})
    assert "Common encoder direction – too few features fired to tell" in read


def test_ultra_rare_is_said_only_where_ten_activations_are_expected_of_such_a_feature(page, client):
    Feature.objects.filter(count__gt=0).update(density=5e-5)
    untold = "not to be told from 9,600 tokens: 100,000 are needed for a feature of that density to fire 10 times"
    assert f"Below 1 in 10,000 – {untold}" in page(9600, **HEALTHY)
    table = client.get("/saes/tiny/features/?show=rare").content.decode()
    assert f"Which features are ultra-rare is {untold}" in table and 'id="f1"' not in table
    curve = next(curve for curve in CURVES if curve.key == "rare")
    moments = [Checkpoint(figures={"tokens": tokens, "health": {"rare": 3, "swarm": 0}}) for tokens in (9_600, 500_000)]
    assert [curve.value(moment.figures, Run(d_sae=12)) for moment in moments] == [None, 0.25]
    assert [dict(row[:2] for row in counts(moment))["rare"] for moment in moments] == [None, 3]
    Feature.objects.update(tokens=500_000)
    page(500_000, **HEALTHY)
    table = client.get("/saes/tiny/features/?show=rare").content.decode()
    assert 'id="f1"' in table and "ultra-rare</span>" in table


def test_where_too_few_fired_for_a_common_direction_it_says_how_many_are_needed_and_fired(page):
    Statistics.objects.update(dead=5)
    read = page(**HEALTHY | {"common_direction": None, "common_direction_rarest": None})
    needed = "at least 100 that fired, with an encoder column that is not zero, are needed; 7 of 12 fired"
    assert f"too few features fired to tell: {needed}" in read
