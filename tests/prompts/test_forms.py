"""What cannot be answered is refused before any model work, with both numbers and the way out."""

import json
import re
import shutil
import threading
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse

from features import runtime
from features.engine.confined.process import Bounds
from features.engine.model import confined_vocabulary
from features.models import SAE
from prompts import forms

PAGE = "/saes/demo/prompt/"


@pytest.fixture
def refused(client, sae, made_up_model):
    """The sentence of a refused question, the same on page and JSON twin, and no model work done."""

    def ask(status, query="", **fields):
        query = query or urlencode(fields)
        twin, page = client.get(f"{PAGE}?{query}&format=json"), client.get(f"{PAGE}?{query}")
        sentence = twin.json()["error"]
        assert (twin.status_code, page.status_code) == (status, status)
        assert sentence in page.context["problem"]
        assert made_up_model == []
        return sentence

    return ask


def test_an_empty_prompt(refused):
    assert refused(400, text="") == "The prompt is empty. Type some text or choose an example."


def test_a_prompt_longer_than_the_model_reads(refused):
    assert refused(400, text="a b " * 200) == "Prompt has 402 tokens; this model reads 128. Shorten it."


def test_the_site_may_allow_less_than_the_model(refused, settings):
    settings.SAEVIZ_PROMPT_TOKENS = 5
    sentence = refused(400, text="One two three four five six")
    assert sentence == "Prompt has 7 tokens; this model reads 5. Shorten it."


def test_too_many_bytes_are_refused_before_tokenising(refused, monkeypatch):
    monkeypatch.setattr("prompts.forms.ids_of", lambda *args: pytest.fail("was tokenised"))
    sentence = refused(413, text="é" * 50_000)
    assert sentence == "Prompt has 100,000 bytes; this site reads 20,000. Shorten it."


def test_bytes_that_are_not_utf8(refused):
    sentence = refused(400, query="text=caf%e9")
    assert sentence == "The prompt is not UTF-8: byte 0xe9 at 3. Send it as UTF-8."


def test_a_nul_character(refused):
    assert refused(400, text="ab\0c") == "The prompt has a NUL character at 2. Take it out."


@pytest.mark.parametrize("position", ["one", "1.5", "1,x", "--1"])
def test_a_position_that_is_no_number(refused, position):
    assert f"position='{position}' is not a number" in refused(400, text="What?", position=position)


@pytest.mark.parametrize("position", ["3", "-1", "99999999999999999999"])
def test_a_position_outside_the_prompt(refused, position):
    sentence = refused(400, text="What?", position=position)
    told = f"Position {int(position):,} is outside the prompt: its 3 tokens have positions 0 to 2."
    assert sentence.startswith(told)


def test_an_unknown_ranking(refused):
    sentence = refused(400, text="What?", rank="size")
    assert sentence == "rank='size' is unknown. Choose one of: act_size, act_quantile, loss_effect."


def test_a_density_that_is_no_share(refused):
    assert "max_density='nan' is not a share" in refused(400, text="What?", max_density="nan")


def test_all_that_is_wrong_is_told_at_once_and_cut_where_it_is_long(refused):
    told = refused(400, text="What?", rank="x" * 50, bos="2", max_density="inf", position="")
    assert told == (
        "bos='2' is unknown. Choose one of: 1, 0. "
        f"rank='{'x' * 40}…' is unknown. Choose one of: act_size, act_quantile, loss_effect. "
        "max_density='inf' is not a share. Give a number from 0 to 1."
    )


def test_what_is_left_empty_has_its_default(ask):
    empty = ask(text="What?", rank="", bos="", max_density="", position="").json()
    assert empty == ask(text="What?").json()
    assert [empty[name] for name in ("rank", "bos", "max_density", "position")] == ["act_size", True, 1.0, 2]
    assert ask(text="What?", max_density="0").json()["max_density"] == 0


def test_an_unknown_sae_names_the_known_ones(client, sae):
    found = client.get(reverse("prompts:prompt", args=["other"]), {"text": "a", "format": "json"})
    assert found.status_code == 404
    assert found.json()["error"] == "No SAE is called 'other' here. Known: demo."
    assert client.get(reverse("prompts:prompt", args=["other"])).status_code == 404


def test_a_posted_flood_is_refused_by_its_announced_size_alone(sae):
    class Unreadable:
        def read(self, *args):
            pytest.fail("was read")

        readline = read

    found = Client(enforce_csrf_checks=True).post(
        PAGE + "?format=json",
        b"",
        content_type="application/x-www-form-urlencoded",
        CONTENT_LENGTH="1000000",
        **{"wsgi.input": Unreadable()},
    )
    assert found.status_code == 413
    assert "1,000,000 bytes; this site reads prompts of 20,000" in found.json()["error"]


def test_a_posted_form_needs_its_csrf_token(sae, made_up_model):
    assert Client(enforce_csrf_checks=True).post(PAGE, {"text": "What?"}).status_code == 403
    assert made_up_model == []


def test_missing_weights_are_told_and_the_rest_works(client, sae, demo):
    sae.path = str(demo / "nowhere")
    sae.save()
    page = client.get(PAGE, {"text": "What?"})
    assert page.status_code == 503
    assert "The model or the weights of demo could not be loaded" in page.context["problem"]
    assert client.get(PAGE, {"text": "What?", "format": "json"}).status_code == 503
    assert client.get("/saes/demo/model.json").json()["state"] == "failed"
    assert client.get("/saes/demo/features/0/").status_code == 200


def test_a_missing_tokenizer_is_told(client, sae, tmp_path):
    sae.model_path = str(tmp_path)
    sae.save()
    found = client.get(PAGE, {"text": "What?", "format": "json"})
    assert found.status_code == 503
    assert "No usable tokenizer.json" in found.json()["error"]


def test_the_context_of_a_model_that_was_away_is_read_when_it_is_back(bare_sae, demo, tmp_path, settings):
    bare_sae.model_path = str(tmp_path / "model")
    assert forms.most_tokens(bare_sae) == settings.SAEVIZ_PROMPT_TOKENS
    shutil.copytree(demo / "model", tmp_path / "model")
    assert forms.most_tokens(bare_sae) == 128


def test_a_model_that_reads_images_too_is_asked_no_more_than_its_text_model_reads(bare_sae, tmp_path):
    (tmp_path / "config.json").write_text('{"text_config": {"max_position_embeddings": 32}}')
    bare_sae.model_path = str(tmp_path)
    assert forms.most_tokens(bare_sae) == 32


def test_special_tokens_and_chats_are_read_by_choice(sae, tmp_path, refused):
    shutil.copytree(sae.model_path, tmp_path / "model")
    sae.model_path = str(tmp_path / "model")
    ids = forms.tokenizer_of(sae).ids
    assert forms.ids_of(sae, "a<|EOS|>", True) == ids("a<|EOS|>") != ids("a<|EOS|>", special=True)
    assert forms.ids_of(sae, "a<|EOS|>", True, "special") == [0, *ids("a", bos=False), 1]
    expected = [*ids("a", bos=False), 1]
    with pytest.raises(forms.Refused, match="has no chat template"):
        forms.ids_of(sae, "a", True, "chat")
    (tmp_path / "model" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}<|EOS|>{% endfor %}")
    sae.model_path += "/."  # another folder, as far as what is kept is concerned
    assert forms.ids_of(sae, "a", True, "chat") == expected
    with pytest.raises(forms.Refused, match="no JSON"):
        forms.ids_of(sae, "[{", True, "chat")
    assert "read='song' is unknown. Choose one of: text, special, chat." in refused(400, text="a", read="song")


def test_a_tokenizer_without_bounds_costs_one_request_a_sentence(
    client, sae, demo, tmp_path, made_up_model, monkeypatch
):
    data = json.loads((demo / "model" / "tokenizer.json").read_text())
    many = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 2000}
    data["normalizer"] = {"type": "Sequence", "normalizers": [many] * 2}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    (tmp_path / "config.json").write_text((demo / "model" / "config.json").read_text())
    (tmp_path / "chat_template.jinja").write_text(
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    )
    monkeypatch.setattr(confined_vocabulary, "TEXT", Bounds(32 << 20, 1))
    SAE.objects.filter(pk=sae.pk).update(model_path=str(tmp_path))
    answer = client.get(PAGE, {"text": "e" * 50, "format": "json"})
    assert answer.status_code == 503
    assert re.search(rf"The tokenizer in {tmp_path}, on this text, took .* 32 MiB are allowed", answer.json()["error"])
    answer = client.get(PAGE, {"text": "a", "read": "chat", "format": "json"})
    assert answer.status_code == 503
    assert f"The chat template in {tmp_path}, on this text, took more than 1 s" in answer.json()["error"]
    SAE.objects.filter(pk=sae.pk).update(model_path=str(demo / "model"))
    assert client.get(PAGE, {"text": "an e", "format": "json"}).status_code == 200


def test_what_another_language_throws_ends_one_request(client, sae, monkeypatch):
    class PanicException(BaseException):
        pass

    def broken(*_, **__):
        raise PanicException("index out of bounds")

    monkeypatch.setattr("prompts.views._sae", broken)
    client.raise_request_exception = False
    assert client.get(PAGE).status_code == 500  # with a number, as every failure, and the process goes on


def test_beyond_a_bound_prompts_are_asked_again_later(client, sae, monkeypatch):
    monkeypatch.setattr("features.runtime._places", threading.BoundedSemaphore(1))
    with runtime._places:
        answer = client.get(PAGE, {"text": "a", "format": "json"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert "questions wait for the model already" in answer.json()["error"]
