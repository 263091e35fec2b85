"""The pages in a real browser: moving without reloading, tokens as text, cards with the JSON's numbers."""

import json
import math
import re
from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from features.models import Job
from features.storage.feature_rows import statistics_of
from features.storage.payload import pack
from tests import made_up
from tests.browser import browser, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.shown_sae(tmp_path)


@pytest.fixture
def site(live_server, sae):
    return f"{live_server.url}/saes/tiny/features/"


def stand_at(page, index):  # noqa: F811
    """Wait until the page shows this feature."""
    page.wait_for_function(
        "i => heading.textContent === `Feature #${i}` && location.pathname.endsWith(`/${i}/`) "
        "&& !columns.classList.contains('stale') && columns.ariaBusy === 'false'",
        arg=index,
    )


def opened(page, site, index=0):  # noqa: F811
    page.goto(f"{site}{index}/")
    stand_at(page, index)
    page.evaluate("window.survives = true")
    return json.loads(page.locator("#feature-data").text_content())


def test_keys_move_without_reloading_and_the_back_button_returns(page, site):  # noqa: F811
    opened(page, site, 1)
    for key, index in (("ArrowRight", 2), ("j", 3), ("ArrowLeft", 2), ("k", 1), ("k", 0)):
        page.keyboard.press(key)
        stand_at(page, index)
    page.go_back()
    stand_at(page, 1)
    page.go_forward()
    stand_at(page, 0)
    assert page.evaluate("window.survives")
    assert page.title().startswith("#0 – Tiny")


def test_at_the_ends_there_is_no_further(page, site):  # noqa: F811
    opened(page, site, 0)
    assert page.locator("#previous").get_attribute("aria-disabled") == "true"
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(100)
    stand_at(page, 0)


def test_the_slider_is_followed_and_leaves_one_step_back(page, site):  # noqa: F811
    opened(page, site, 7)
    for value in (6, 5, 4, 2):
        page.evaluate("v => { slider.value = v; slider.dispatchEvent(new Event('input', {bubbles: true})) }", value)
        stand_at(page, value)
    page.evaluate("slider.dispatchEvent(new Event('change', {bubbles: true}))")
    page.go_back()
    stand_at(page, 7)
    assert page.evaluate("window.survives")


PAUSE = "window.pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))"
SWEEP = """async (values) => {
  const seen = new Set();
  const look = new MutationObserver(() => seen.add(document.getElementById("json").getAttribute("href")));
  look.observe(document.getElementById("json"), { attributes: true });
  for (const value of values) {
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await pause(5);
  }
  const passed = seen.size;
  slider.dispatchEvent(new Event("change", { bubbles: true }));
  return passed;
}"""


def test_a_hand_faster_than_the_site_sees_features_pass_and_has_one_step_back(page, site):  # noqa: F811
    page.add_init_script(PAUSE)
    opened(page, site, 0)
    page.evaluate("() => { const soon = fetch; fetch = async (...asked) => (await pause(30), soon(...asked)) }")
    passed = page.evaluate(SWEEP, [*range(1, 8), *range(6, 0, -1)] * 4 + [5])
    assert passed >= 2  # before the hand came to rest
    stand_at(page, 5)
    page.go_back()
    stand_at(page, 0)
    assert page.evaluate("window.survives")


def test_the_number_box_random_and_a_neighbour_move_too(page, site):  # noqa: F811
    opened(page, site, 0)
    page.keyboard.press("g")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    stand_at(page, 5)
    page.locator("#neighbours .feature-link").nth(1).click()
    stand_at(page, 1)
    with page.expect_response(lambda response: "random" in response.url):
        page.keyboard.press("r")
    page.wait_for_function("() => !document.getElementById('columns').classList.contains('stale')")
    assert page.evaluate("window.survives")


def test_what_is_shown_after_a_move_is_the_other_feature(page, site):  # noqa: F811
    opened(page, site, 0)
    page.keyboard.press("ArrowRight")
    stand_at(page, 1)
    data = page.evaluate("fetch('../1.json').then(r => r.json())")
    assert page.locator(".group .remark").first.text_content() == f"max {data['maximum']:.3f}"


def test_a_failed_move_keeps_the_page_and_offers_another_try(page, site):  # noqa: F811
    opened(page, site, 0)
    page.route("**/5.json", lambda route: route.fulfill(status=500, body="broken"))
    page.evaluate("document.getElementById('number').value = 5; document.getElementById('go').requestSubmit()")
    page.locator("#trouble button").wait_for()
    assert "What is shown is feature #0" in page.locator("#trouble").text_content()
    page.unroute("**/5.json")
    page.locator("#trouble button").click()
    stand_at(page, 5)


def test_markup_in_the_corpus_shows_as_text(page, site):  # noqa: F811
    opened(page, site)
    with page.expect_response("**/0.json?context=whole"):
        page.get_by_role("button", name="whole row").click()
    page.wait_for_function("() => document.querySelectorAll('.sequence.whole').length && columns.ariaBusy === 'false'")
    shown_text = "".join(page.locator(".groups .sequence").all_text_contents())
    assert 'print("<script>window.' in shown_text and "1</script>" in shown_text
    assert "日" in shown_text and "⏎⇥" in shown_text
    assert page.evaluate("window.stung") is None
    assert page.locator(".groups script").count() == 0


def number_in(text):
    return float(re.match(r"[+−]?[\d.]+(?:e[+−-]?\d+)?", text)[0].replace("−", "-"))


def test_the_card_shows_the_numbers_of_the_json(page, site):  # noqa: F811
    data = opened(page, site)
    sequence = next(
        s for s in data["sequences"]["top"] for e in s["active"] if e["position"] == s["position"]
        and e["loss_effect"] is not None
    )  # fmt: skip
    entry = next(e for e in sequence["active"] if e["position"] == sequence["position"])
    chosen = page.locator(".group").first.locator(".chosen").nth(data["sequences"]["top"].index(sequence))
    chosen.hover()
    fact = {
        name: number_in(page.locator(f".card [data-fact={name}]").first.text_content())
        for name in (
            "activation",
            "quantile",
            "loss-effect",
            "probability",
            "probability-without",
            "logit-effect",
        )
    }
    assert fact["activation"] == pytest.approx(entry["activation"], rel=1e-3)
    assert fact["quantile"] == pytest.approx(100 * entry["quantile"], abs=1e-3)
    assert fact["loss-effect"] == pytest.approx(entry["loss_effect"], rel=6e-3)
    assert fact["probability"] == pytest.approx(100 * math.exp(-entry["loss"]), rel=6e-3)
    assert fact["probability-without"] == pytest.approx(100 * math.exp(entry["loss_effect"] - entry["loss"]), rel=6e-3)
    assert fact["logit-effect"] == pytest.approx(entry["logit_effect"], rel=6e-3)
    marks = page.locator(".mark:not([hidden])")
    assert page.locator("#activations .most").is_hidden()  # it would lie under the mark's words
    assert float(marks.nth(0).get_attribute("data-value")) == entry["activation"]
    per_unit = entry["logit_effect"] / entry["activation"]
    assert float(marks.nth(1).get_attribute("data-value")) == pytest.approx(per_unit)


def test_a_negative_activation_is_striped_and_keeps_its_sign_on_the_card(page, site, sae):  # noqa: F811
    row = sae.statistics.features.get(index=1)
    feature = statistics_of(row)
    examples = replace(
        feature.examples,
        top=turned_over(feature.examples.top),
        random=turned_over(feature.examples.random),
        intervals=tuple(replace(i, examples=turned_over(i.examples)) for i in feature.examples.intervals),
    )
    row.stored.payload = pack(replace(feature, examples=examples, shown=turned_over(feature.shown)))
    row.stored.save()
    data = opened(page, site, 1)
    chosen = page.locator(".group").first.locator(".chosen").first
    assert "repeating-linear-gradient" in chosen.evaluate("node => node.style.backgroundImage")
    chosen.hover()
    activation = data["sequences"]["top"][0]["activation"]
    assert activation < 0
    assert number_in(page.locator(".card [data-fact=activation]").text_content()) == pytest.approx(activation, rel=1e-3)
    assert float(page.locator(".mark:not([hidden])").first.get_attribute("data-value")) == -activation


def turned_over(examples):
    return replace(examples, activations=-examples.activations)


def test_the_underline_stands_under_the_predicted_token(page, site):  # noqa: F811
    data = opened(page, site)
    with page.expect_response("**/0.json?context=whole") as whole:  # the page had windows alone
        page.get_by_role("button", name="whole row").click()
    assert len(data["sequences"]["top"][0]["tokens"]) < made_up.LENGTH
    sequence = whole.value.json()["sequences"]["top"][0]
    page.wait_for_function("() => document.querySelectorAll('.sequence.whole').length")
    page.locator(".group .sequence").first.hover()  # its silent tokens are text until then
    page.wait_for_function(
        "n => document.querySelector('.group .sequence').querySelectorAll('.token').length === n", arg=made_up.LENGTH
    )
    tokens = page.locator(".group").first.locator(".sequence").first.locator(".token")
    styles = tokens.evaluate_all("nodes => nodes.map(n => [n.style.borderBottomStyle, n.style.backgroundColor])")
    for entry in sequence["active"]:
        assert styles[entry["position"]][1]
        effect = entry["loss_effect"]
        if effect is not None and abs(effect) > 0.01:
            assert styles[entry["position"] + 1][0] == ("solid" if effect < 0 else "dashed")
    assert sum(bool(style[1]) for style in styles) == len(sequence["active"])


def test_a_click_pins_the_card_and_escape_lets_go(page, site):  # noqa: F811
    opened(page, site)
    page.locator(".chosen").nth(2).click()
    page.mouse.move(5, 5)
    assert page.locator(".card.pinned").is_visible()
    page.keyboard.press("Escape")
    assert page.locator(".card:visible").count() == 0


def test_the_card_is_reached_by_keyboard_alone(page, site):  # noqa: F811
    opened(page, site)
    page.locator(".groups .chosen").first.focus()
    first = page.locator(".card:visible").text_content()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.classList.contains('chosen')")
    assert page.locator(".card:visible").text_content() != first
    page.keyboard.press("Shift+ArrowRight")
    assert not page.evaluate("document.activeElement.classList.contains('chosen')")
    stand_at(page, 0)


@pytest.mark.parametrize("context", ["short", "medium"])
def test_chosen_tokens_stand_in_one_vertical_line(page, site, context):  # noqa: F811
    opened(page, site)
    page.get_by_role("button", name=context).click()
    for group in page.locator(".group").all():
        lefts = group.locator(".chosen").evaluate_all("all => all.map(n => n.getBoundingClientRect().left)")
        assert not lefts or max(lefts) - min(lefts) <= 1


def test_the_context_width_is_remembered(page, site):  # noqa: F811
    opened(page, site)
    page.get_by_role("button", name="whole row").click()
    opened(page, site, 1)
    assert page.locator("#context [aria-pressed=true]").text_content() == "whole row"


def test_a_star_is_kept_and_listed_in_the_table(page, site):  # noqa: F811
    opened(page, site, 4)
    page.keyboard.press("s")
    page.wait_for_function("() => star.textContent === '★ Starred'")
    page.goto(site)
    page.get_by_role("link", name="1 starred").click()
    assert page.locator("tr[data-index]").count() == 1
    assert page.locator("tr[data-index='4'] .star").is_visible()


def test_a_dead_feature_is_a_sentence_without_empty_plots(page, site):  # noqa: F811
    opened(page, site, 3)
    assert "Dead: it fired on none of the 9,600 tokens counted" in page.locator("#activations").text_content()
    assert page.locator("#activations .histogram").count() == 0
    assert not page.locator("#examples").is_visible()


def test_statistics_appear_by_themselves_when_their_computation_is_done(page, live_server, sae, tmp_path):  # noqa: F811
    bare = shown.bare_sae(tmp_path, slug="bare")
    job = Job.objects.create(
        sae=bare, tokens=100, state="running", phase="activations", done=25, total=100, rate=5,
        heartbeat=timezone.now(),
    )  # fmt: skip
    page.goto(f"{live_server.url}/saes/bare/features/0/")
    page.locator("#progress progress").wait_for()
    told = page.locator("#progress").text_content()
    assert "25 of 100 tokens, 5 per second, 15 s left" in told
    shown.store(bare, shown.Collected(size=shown.COMPUTED))
    job.state = "done"
    job.save()
    page.locator(".groups .chosen").first.wait_for()
    assert not page.locator("#missing").is_visible()


def test_staff_cancel_a_computation_from_the_page(page, live_server, client, transactional_db, tmp_path):  # noqa: F811
    bare = shown.bare_sae(tmp_path, slug="bare")
    job = Job.objects.create(sae=bare, tokens=100, state="running", total=100, heartbeat=timezone.now())
    client.force_login(get_user_model().objects.create_superuser("ada"))
    cookie = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page.goto(f"{live_server.url}/saes/bare/")
    with page.expect_response("**/cancel/") as answer:
        page.get_by_role("button", name="Cancel").click()
    assert answer.value.status == 200
    page.get_by_role("button", name="Cancel").wait_for(state="detached")
    job.refresh_from_db()
    assert job.cancel_requested or job.state == "cancelled"


def focused(page):  # noqa: F811
    return page.evaluate(
        "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
    )


def test_the_focus_stays_and_examples_are_lists_of_one_tab_stop(page, site):  # noqa: F811
    opened(page, site, 0)
    group = page.locator(".groups .group").first
    assert group.get_by_role("listitem").count() == 12
    assert group.locator(".token[tabindex='0']").count() == 1
    first = group.get_by_role("button").first
    assert ", activation " in first.get_attribute("aria-label")
    first.focus()
    page.keyboard.press("ArrowDown")
    assert group.locator(".token[tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    assert page.locator(".card.pinned").is_visible()
    page.keyboard.press(" ")
    assert page.locator(".card.pinned").count() == 0
    page.locator("#neighbours button").press("Enter")
    assert focused(page) == "feature-link"
    page.keyboard.press("Enter")
    page.wait_for_function("() => !location.pathname.endsWith('/0/')")
    assert focused(page) == "heading"
    page.keyboard.press("g")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    stand_at(page, 5)
    assert focused(page) == "heading"


def test_what_fires_once_is_one_list_and_a_count(page, site):  # noqa: F811
    def once(route):
        found = route.fetch().json()
        example = found["sequences"]["top"][0]
        intervals = [{**interval, "count": 0, "sequences": []} for interval in found["sequences"]["intervals"]]
        intervals[0] |= {"count": 1, "sequences": [example]}
        sequences = {"top": [example], "random": [example], "intervals": intervals}
        route.fulfill(json=found | {"count": 1, "density": 1 / 9600, "sequences": sequences})

    page.route("**/features/5.json*", once)
    opened(page, site, 2)
    page.evaluate("document.getElementById('number').value = 5; document.getElementById('go').requestSubmit()")
    stand_at(page, 5)
    assert page.locator(".group").count() == page.locator(".groups .sequence").count() == 1
    assert "On 1 of 9,600 tokens" in page.locator(".density").inner_text()
    assert "%" not in page.locator("#activations .density").inner_text()


def test_help_lists_the_keys(page, site):  # noqa: F811
    opened(page, site)
    page.keyboard.press("?")
    assert "random feature worth reading" in page.get_by_role("dialog").text_content()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_a_text_of_ones_own_is_drawn_with_cards_too(page, site):  # noqa: F811
    tried = {
        "tokens": ["<|BOS|>", "Can", " you", "<i>"], "token_ids": [0, 1, 2, 3],
        "special": [True, False, False, False],
        "activations": [0, 1.5, 0, 0.2], "loss_effects": [None, None, -0.25, None],
    }  # fmt: skip
    page.route("**/try/?*", lambda route: route.fulfill(json=tried))
    opened(page, site)
    page.fill("#try-text textarea", "Can you<i>")
    page.locator("#try-text .token").nth(1).hover()
    assert page.locator(".card:visible [data-fact=activation]").text_content() == "1.500"
    assert page.locator(".card:visible [data-fact=loss-effect]").text_content() == "−0.250 nats, helps"
    page.locator("#try-text .token").nth(3).hover()
    assert "none: the text ends" in page.locator(".card:visible").text_content()
