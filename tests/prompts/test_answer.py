"""What the JSON twin answers: tokens, a ranking by each metric, dashboards; and why, where it is empty."""

import json

import numpy as np
import pytest
import torch

from features.engine import reference
from features.engine.model.vocabulary import Vocabulary

TEXT = "What are you doing?"  # BOS, What, are, you, doing, ?


@pytest.fixture
def answer(ask):
    return lambda **query: ask(text=TEXT, **query).json()


@pytest.fixture
def prompt(answer, sae, made_up_model):
    """The made-up activations behind `answer`."""
    from features import runtime

    ids = answer()["token_ids"]
    with runtime.analysed(sae, ids) as found:
        yield found


def test_tokens_are_told_with_bos_in_front_unless_switched_off(answer, demo):
    vocabulary = Vocabulary.load(demo / "model")
    assert answer()["token_ids"] == vocabulary.ids(TEXT)
    assert answer()["special"] == [True] + [False] * 5
    without = answer(bos="0")
    assert without["tokens"] == ["What", " are", " you", " doing", "?"]
    assert without["special"] == [False] * 5


def test_the_last_token_is_chosen_where_none_is_named(answer):
    assert answer()["position"] == 5
    assert answer(bos="0")["position"] == 4


def test_act_size_ranks_what_is_active_on_the_token(answer, prompt):
    found = answer(position=3)
    expected = reference.rank("act_size", 3, torch.from_numpy(prompt.activations.T))[:10]
    assert [score["feature"] for score in found["ranking"]] == expected
    assert [score["score"] for score in found["ranking"]] == [float(prompt.activations[i, 3]) for i in expected]
    assert found["active"] == (prompt.activations[:, 3] > 0).sum()
    assert found["activation_position"] == 3


def test_act_quantile_ranks_by_the_stored_distribution(answer, prompt):
    from features.engine.activity.quantiles import quantile
    from tests import made_up

    def slow(feature):
        stored = made_up.feature(feature)
        return quantile(
            stored.activity.quantiles, stored.activity.count, stored.tokens, prompt.activations[feature, 3]
        ).item()

    active = np.flatnonzero(prompt.activations[:, 3]).tolist()
    found = answer(position=3, rank="act_quantile")["ranking"]
    assert [score["score"] for score in found] == sorted(map(slow, active), reverse=True)[:10]
    assert all(score["score"] == score["quantile"] == slow(score["feature"]) for score in found)


def test_loss_effect_belongs_to_the_predicted_token(answer, prompt):
    found = answer(position=3, rank="loss_effect")
    f, effects = (torch.from_numpy(each.T) for each in (prompt.activations, prompt.loss_effects(range(64))))
    order = reference.rank("loss_effect", 3, f, effects=effects)[:10]
    assert [score["feature"] for score in found["ranking"]] == order
    assert [score["score"] for score in found["ranking"]] == effects[3, order].tolist()
    assert found["activation_position"] == 2
    assert (found["unit"], found["order"]) == ("nats", "ascending")


def test_the_first_token_has_no_loss_effect_and_says_why(answer):
    found = answer(position=0, rank="loss_effect", bos="0")
    assert found["ranking"] == found["dashboards"] == []
    assert found["note"]


@pytest.mark.parametrize("rank", ["act_size", "act_quantile"])
def test_bos_is_never_ranked_and_says_so(answer, rank):
    found = answer(position=0, rank=rank)
    assert found["ranking"] == []
    assert "BOS" in found["note"]


def test_dense_features_are_left_out_and_the_next_ones_move_up(answer, sae):
    from features.models import Feature

    first = [score["feature"] for score in answer(position=3)["ranking"]]
    Feature.objects.filter(index__in=first[:3]).update(density=0.5)
    Feature.objects.exclude(index__in=first[:3]).update(density=0.01)
    found = [score["feature"] for score in answer(position=3, max_density="0.1")["ranking"]]
    assert found[:7] == first[3:] and len(found) == 10
    assert not set(first[:3]) & set(answer(position=3, max_density="0.1")["overview"]["features"])


def test_all_too_dense_says_how_to_see_them(answer, sae):
    found = answer(position=3, max_density="0")
    assert found["ranking"] == []
    assert "more than 0\xa0% of tokens. Move the density slider" in found["note"]
    assert "more than 0.000120\xa0% of tokens" in answer(position=3, max_density="0.0000012")["note"]


def test_several_tokens_sum_their_scores(answer, prompt):
    sums = prompt.activations[:, [2, 4]].sum(axis=1)
    found = answer(position="4,2")
    assert found["positions"] == [2, 4]
    assert [score["feature"] for score in found["ranking"]] == np.argsort(-sums, kind="stable")[:10].tolist()
    effects = np.nansum(prompt.loss_effects(range(64))[:, [2, 4]], axis=1)
    found = answer(position="2,4", rank="loss_effect")["ranking"]
    np.testing.assert_allclose([score["score"] for score in found], np.sort(effects)[:10], rtol=1e-5)


def test_the_quantile_over_several_tokens_is_the_highest(answer, sae):
    one, other = (answer(position=position, rank="act_quantile")["ranking"] for position in (2, 4))
    found = answer(position="2,4", rank="act_quantile")["ranking"]
    best = {}
    for score in one + other:
        best[score["feature"]] = max(score["score"], best.get(score["feature"], 0))
    assert [score["score"] for score in found] == sorted(best.values(), reverse=True)[:10]
    assert all(score["score"] == best[score["feature"]] for score in found)


def test_a_loss_effect_that_nobody_knows_is_none_in_a_sum(answer, prompt):
    """After the last token comes nothing, so what is active on it alone has an effect on nothing."""
    found = answer(position="4,5")["ranking"]
    on_the_last_alone = {score["feature"] for score in found if not prompt.activations[score["feature"], 4]}
    assert 0 < len(on_the_last_alone) < len(found)
    assert {score["feature"] for score in found if score["loss_effect"] is None} == on_the_last_alone


def test_each_ranked_feature_has_its_dashboard(answer, prompt):
    found = answer(position=3)
    assert [board["feature"] for board in found["dashboards"]] == [score["feature"] for score in found["ranking"]]
    for board in found["dashboards"]:
        np.testing.assert_allclose(board["activations"], prompt.activations[board["feature"]], rtol=1e-4)
        assert len(board["top"]) == 10
        assert len(board["logits"]["positive"]) == len(board["logits"]["negative"]) == 5
        assert board["activation_histogram"]["counts"]


def test_what_is_stored_comes_apart_for_pages_that_ask_on(answer, client):
    whole, light = answer(position=3)["dashboards"], answer(position=3, stored="0")["dashboards"]
    features = ",".join(str(board["feature"]) for board in light)
    stored = client.get(f"/saes/demo/features/stored.json?of={features}").json()["features"]
    assert [first | rest for first, rest in zip(light, stored, strict=True)] == whole
    assert len(json.dumps(light)) < len(json.dumps(whole)) / 4


def test_windows_are_short_and_keep_the_chosen_token_chosen(answer, sae):
    from tests import made_up

    rows = made_up.corpus_rows()
    for board in answer(position=3)["dashboards"]:
        for window in board["top"]:
            chosen = window["start"] + window["position"]
            assert window["ids"][window["position"]] == rows[window["row"], chosen]
            here = next(entry for entry in window["active"] if entry["position"] == window["position"])
            assert here["activation"] == window["activation"]


def test_without_statistics_live_rankings_work_and_quantiles_say_what_is_missing(client, bare_sae, made_up_model):
    def ask(rank):
        return client.get("/saes/demo/prompt/", {"text": TEXT, "rank": rank, "format": "json"}).json()

    assert len(ask("act_size")["ranking"]) == len(ask("loss_effect")["ranking"]) == 10
    assert ask("act_size")["ranking"][0]["quantile"] is None
    found = ask("act_quantile")
    assert found["ranking"] == []
    assert "needs stored statistics" in found["note"] and "compute_features demo" in found["note"]


@pytest.mark.parametrize(
    ("rank", "queries"),
    [
        # the SAE with its statistics, quantiles of the ranked features, scales of the overview, dashboards
        ("act_size", 4),
        ("act_quantile", 4),
        ("loss_effect", 4),
    ],
)
def test_an_answer_takes_four_queries(ask, django_assert_num_queries, rank, queries):
    ask(text=TEXT)  # loads the model
    with django_assert_num_queries(queries):
        ask(text=TEXT, position=3, rank=rank)


def test_a_second_question_about_a_prompt_does_not_analyse_it_again(ask, made_up_model):
    ask(text=TEXT, position=3)
    ask(text=TEXT, position=4, rank="loss_effect")
    assert len(made_up_model) == 1


def test_script_in_a_prompt_stays_text(client, ask, sae):
    page = client.get("/saes/demo/prompt/", {"text": "<script>alert(1)</script>"}).content.decode()
    assert "<script>alert" not in page
    assert ask(text="<script>alert(1)</script>").json()["text"] == "<script>alert(1)</script>"


def test_crlf_of_a_form_is_one_newline(ask):
    assert ask(text="a\r\nb").json()["token_ids"] == ask(text="a\nb").json()["token_ids"]


def test_a_posted_prompt_becomes_an_address(client, sae, made_up_model):
    found = client.post("/saes/demo/prompt/", "text=a%20b&bos=0", content_type="application/x-www-form-urlencoded")
    assert found.status_code == 302
    assert found.url == "/saes/demo/prompt/?text=a+b&position=1&rank=act_size&bos=0"


def test_a_prompt_too_long_for_an_address_is_answered_where_it_was_posted(client, sae, made_up_model, monkeypatch):
    monkeypatch.setattr("prompts.views.LONGEST_ADDRESS", 100)
    body = "text=" + "%20a" * 100
    found = client.post("/saes/demo/prompt/", body, content_type="application/x-www-form-urlencoded")
    assert found.status_code == 200
    assert len(found.context["data"]["ranking"]) == 10


def test_a_text_is_tried_on_one_feature(client, sae, made_up_model):
    found = client.get("/saes/demo/features/7/try/", {"text": TEXT}).json()
    assert (found["feature"], len(found["activations"])) == (7, 6)
    missing = client.get("/saes/demo/features/5000/try/", {"text": TEXT})
    assert missing.status_code == 404
    assert missing.json()["error"] == "Feature 5,000 does not exist: this SAE has features 0 to 4,095."


def test_a_page_that_waits_too_long_is_shown_without_its_answer(client, sae, made_up_model, monkeypatch):
    from features import runtime

    def never(*args):
        raise runtime.NotYet

    monkeypatch.setattr(runtime, "_loaded", never)
    page = client.get("/saes/demo/prompt/", {"text": TEXT})
    assert page.status_code == 200
    assert page.context["data"]["tokens"][1] == "What" and "ranking" not in page.context["data"]


@pytest.mark.parametrize("stored", [b"\xff", b"\x03damaged"])
def test_statistics_that_cannot_be_read_say_so_and_the_prompt_is_shown(answer, sae, stored):
    from features.models import FeaturePayload

    FeaturePayload.objects.update(payload=stored)
    board = answer(position=3)["dashboards"][0]
    assert board["missing"] and "Recompute the statistics" in board["why"]
    assert any(board["activations"])
