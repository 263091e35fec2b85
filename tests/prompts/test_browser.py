"""What a person does on the prompt page, in a real browser: choose, go back, point, read why it is empty."""

import threading
from urllib.parse import parse_qs, urlparse

import pytest

from features import runtime
from features.storage.findings_file import findings_of
from tests.browser import browser, opened  # noqa: F401

pytestmark = pytest.mark.browser
TEXT = "What are you doing?"  # BOS, What, are, you, doing, ?


@pytest.fixture
def page(live_server, sae, made_up_model, browser):  # noqa: F811
    """A window on the prompt page; scripts that fail make the test fail. `page.ask(query)` goes there."""
    for page in opened(browser, viewport={"width": 1280, "height": 900}):
        page.ask = lambda query="", page=page: goto(page, f"{live_server.url}/saes/demo/prompt/{query}")
        yield page


def goto(page, address):
    page.goto(address, timeout=60_000)  # the first one loads the libraries of models
    page.evaluate("window.same = true")  # gone after a reload
    page.wait_for_function("() => answer.ariaBusy !== 'true'")  # all of it drawn


def asked(page):
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def chosen(page):
    return page.locator(".pick[aria-pressed=true]").all_inner_texts()


def ranked(page):
    return page.locator(".board h3 a").all_inner_texts()


def test_a_typed_prompt_is_answered_without_a_reload(page):
    page.ask()
    page.fill("#text", TEXT)
    page.press("#text", "Enter")
    page.wait_for_selector(".board")
    assert page.evaluate("window.same")
    assert len(ranked(page)) == 10
    assert chosen(page) == ["?"]
    assert asked(page) == {"text": TEXT, "position": "5", "rank": "act_size"}


def test_what_to_look_at_stays_as_long_as_the_text_is_an_examples(page, sae):
    example = findings_of(sae).prompts[0]
    page.ask()
    page.get_by_role("link", name=example.text).click()
    page.wait_for_selector(".board")
    assert page.locator("#look").inner_text() == f"{example.name}: {example.sentence}"
    page.click(".pick[data-position='3']")
    page.wait_for_function("() => location.search.includes('position=3')")
    assert page.locator("#look").is_visible()
    page.fill("#text", TEXT)
    page.press("#text", "Enter")
    page.wait_for_function("() => location.search.includes('What')")
    assert page.locator("#look").is_hidden()


def test_choosing_token_and_ranking_changes_the_address_without_a_reload(page):
    page.ask(f"?text={TEXT}")
    first = ranked(page)
    page.click(".pick[data-position='3']")
    page.wait_for_function("() => location.search.includes('position=3')")
    assert chosen(page) == ["·you"]
    page.click("#ranks >> text=Loss effect")
    page.wait_for_function("() => location.search.includes('rank=loss_effect')")
    assert asked(page) == {"text": TEXT, "position": "3", "rank": "loss_effect"}
    assert page.locator("#ranks [aria-pressed=true]").inner_text() == "Loss effect"
    assert "nats" in page.locator(".board .score").first.inner_text()
    assert ranked(page) != first
    assert page.evaluate("window.same")


def test_the_back_button_returns_to_the_former_token(page):
    page.ask(f"?text={TEXT}&position=2")
    before = ranked(page)
    page.click(".pick[data-position='4']")
    page.wait_for_function("() => location.search.includes('position=4')")
    page.go_back()
    page.wait_for_function("() => document.querySelector('.pick[aria-pressed=true]').dataset.position === '2'")
    page.wait_for_selector("#answer:not(.stale)")  # what is asked for is pressed at once
    assert ranked(page) == before
    assert page.evaluate("window.same")


def test_a_reload_shows_the_same_state(page):
    page.ask(f"?text={TEXT}&position=3&rank=act_quantile&bos=0&max_density=0.5")
    before = ranked(page), chosen(page), page.locator("#density-value").inner_text()
    page.reload()
    assert (ranked(page), chosen(page), page.locator("#density-value").inner_text()) == before
    assert before[1:] == (["·doing"], "50 %")
    assert not page.locator("#bos").is_checked()


def test_script_in_a_prompt_is_read_as_text(page):
    page.on("dialog", lambda dialog: pytest.fail("ran"))
    page.ask("?text=<script>alert(1)</script><img src=x onerror=alert(2)>")
    shown = "".join(page.locator(".pick").all_inner_texts())
    assert "<script>alert(1)</script><img·src=x·onerror=alert(2)>" in shown
    assert page.locator("#answer script, #answer img").count() == 0


def test_an_empty_answer_says_why(page):
    page.ask(f"?text={TEXT}&bos=0&position=0&rank=loss_effect")
    assert page.locator("#empty").is_visible()
    assert "first token" in page.locator("#empty").inner_text()
    assert ranked(page) == []
    page.click("#ranks >> text=Act size")  # the way out
    page.wait_for_selector(".board")
    assert not page.locator("#empty").is_visible()


def test_a_refused_prompt_says_why_and_keeps_the_text(page):
    page.ask(f"?text={TEXT}")
    page.fill("#text", "a b " * 200)
    page.press("#text", "Enter")
    page.wait_for_selector("#trouble:visible")
    assert page.locator("#trouble").inner_text() == "Prompt has 402 tokens; this model reads 128. Shorten it."
    assert page.locator("#text").input_value() == "a b " * 200
    assert page.locator("#former").is_visible() and page.locator("#answer.former").count() == 1
    assert not page.locator("#again").is_visible()  # it would be refused again


PRESSED = """(keys) => keys.map((key) => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const pressed = (where) => [...document.querySelectorAll(`${where} [aria-pressed=true]`)].map((b) => b.textContent);
  return [pressed("#ranks"), pressed("#tokens")];
})"""


def test_choices_made_while_an_answer_is_on_its_way_build_on_each_other(page):
    page.ask(f"?text={TEXT}&position=4")
    at_once = page.evaluate(PRESSED, ["3", "ArrowLeft", "ArrowLeft"])
    assert at_once == [[["Loss effect"], ["·doing"]], [["Loss effect"], ["·you"]], [["Loss effect"], ["·are"]]]
    page.wait_for_function("() => location.search.includes('position=2')")
    assert asked(page)["rank"] == "loss_effect" and chosen(page) == ["·are"]


def test_text_that_was_not_sent_stays_and_is_said_to_be_unsent(page):
    page.ask(f"?text={TEXT}&position=4&rank=loss_effect")
    page.fill("#text", "Another text, not sent")
    assert page.locator("#unsent").is_visible()
    page.click(".pick[data-position='3']")
    page.wait_for_function("() => location.search.includes('position=3')")
    assert page.locator("#text").input_value() == "Another text, not sent"
    page.press("#text", "Enter")
    page.wait_for_function("() => location.search.includes('Another')")
    assert asked(page)["rank"] == "loss_effect" and not page.locator("#unsent").is_visible()


def test_after_a_failure_the_old_answer_stays_and_the_same_question_can_be_asked_again(page):
    page.ask(f"?text={TEXT}&position=3")
    before = ranked(page)
    page.route("**/*format=json*", lambda route: route.abort())
    page.click("#ranks >> text=Loss effect")
    page.wait_for_selector("#trouble:visible")
    assert ranked(page) == before and page.locator("#former").is_visible()
    page.unroute("**/*format=json*")
    page.click("text=Try again")
    page.wait_for_selector("#trouble", state="hidden")
    assert asked(page) == {"text": TEXT, "position": "3", "rank": "loss_effect"}
    assert page.locator("#answer.former").count() == 0 and ranked(page) != before


def test_more_of_a_ranking_and_features_by_their_number(page):
    page.ask(f"?text={TEXT}&position=4")
    page.click("#more")
    page.wait_for_function("() => document.querySelectorAll('.board').length === 20")
    last = ranked(page)[-1].removeprefix("#")
    page.ask(f"?text={TEXT}&position=4")
    page.fill("#add-feature", f"#{last}")
    page.press("#add-feature", "Enter")
    page.wait_for_function("() => document.querySelectorAll('.board').length === 11")
    assert asked(page)["add"] == last
    assert "added, place 20" in page.locator(".board").last.inner_text()
    page.locator(".board").last.locator("button").first.click()
    page.wait_for_function("() => document.querySelectorAll('.board').length === 10")
    page.fill("#add-feature", "4096")
    page.press("#add-feature", "Enter")
    page.wait_for_selector("#trouble:visible")
    assert "Feature 4,096 does not exist" in page.locator("#trouble").inner_text()


def test_a_card_tells_what_would_be_predicted_without_the_feature(page):
    page.ask(f"?text={TEXT}&position=3")
    page.locator(".board").first.locator(".prompt-line .chosen").hover()
    page.wait_for_selector(".card table.predicted")
    told = page.locator(".card .without").inner_text()
    assert "without it" in told and "20.0 %" in told and page.locator(".predicted tbody tr").count() == 5


def test_pointing_at_a_token_marks_it_in_every_feature(page):
    page.ask(f"?text={TEXT}&position=4")
    page.hover(".pick[data-position='2']")
    assert page.locator(".prompt-line .token.pointed").all_inner_texts() == [" are"] * 10
    assert page.locator(".heat th.pointed").text_content() == "are"
    page.mouse.move(0, 0)
    assert page.locator(".pointed").count() == 0


def test_pointing_at_a_feature_colours_the_tokens_it_is_active_on(page):
    page.ask(f"?text={TEXT}&position=4")
    board = page.locator(".board").first
    board.locator("h3").hover()
    coloured = [bool(style) for style in page.eval_on_selector_all(".pick", "all => all.map(b => b.style.color)")]
    activations = page.evaluate(
        "JSON.parse(document.getElementById('prompt-data').textContent).dashboards[0].activations"
    )
    assert coloured == [value > 0 for value in activations]


def test_the_overview_is_walked_by_keys(page):
    page.ask(f"?text={TEXT}&position=4")
    cells = page.locator(".heat td[tabindex='0']")
    assert cells.count() == 1 and page.locator(".board").first.locator(".token[tabindex='0']").count() == 1
    cells.focus()
    before = page.locator(".card:visible").inner_text()
    page.keyboard.press("ArrowLeft")
    told = page.locator(".card:visible").inner_text()
    assert "“ doing”" in before and "“ you”" in told
    page.keyboard.press("ArrowRight")
    assert page.locator(".card:visible").inner_text() == before
    for key in ("ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    below = page.locator(".card:visible").inner_text()
    assert "“ you”" in below and below != told
    page.keyboard.press("ArrowUp")
    assert page.locator(".card:visible").inner_text() == told
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.search.includes('position=3')")
    page.wait_for_selector("#answer:not(.stale)")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == told


def test_a_click_with_ctrl_sums_two_tokens(page):
    page.ask(f"?text={TEXT}&position=4")
    page.click(".pick[data-position='2']", modifiers=["Control"])
    page.wait_for_function("() => location.search.includes('position=2%2C4')")
    assert chosen(page) == ["·are", "·doing"]
    assert "summed over the" in page.locator("#summary").inner_text()
    page.wait_for_selector("#compared .parts")  # at the same address: whoever is sent it sees the same
    both, first, second = page.locator("#compared .part").all()
    assert first.locator("h3").inner_text().startswith("Only on 2 “ are”")
    alone = {int(p): set(page.evaluate(LISTED_ON, [TEXT, p])) for p in ("2", "4")}
    for part, expected in ((both, alone[2] & alone[4]), (first, alone[2] - alone[4]), (second, alone[4] - alone[2])):
        assert part.locator("h3").inner_text().endswith(f": {len(expected)}")
        shown = {int(link.removeprefix("#")) for link in part.locator("a").all_inner_texts()}
        assert shown <= expected
    assert alone[2] & alone[4] and alone[2] - alone[4]


def test_without_a_keyboard_several_tokens_are_chosen_by_a_switch(page):
    page.ask(f"?text={TEXT}&position=4")
    page.check("#several")
    page.click(".pick[data-position='2']")
    page.wait_for_function("() => location.search.includes('position=2%2C4')")
    page.click(".pick[data-position='4']")
    page.wait_for_function("() => location.search.includes('position=2&')")
    page.uncheck("#several")
    page.click(".pick[data-position='3']")
    page.wait_for_function("() => location.search.includes('position=3&')")
    assert chosen(page) == ["·you"]


def test_keys_move_between_tokens_and_rankings(page):
    page.ask(f"?text={TEXT}&position=3")
    page.press("body", "ArrowRight")
    page.wait_for_function("() => location.search.includes('position=4')")
    page.press("body", "2")
    page.wait_for_function("() => location.search.includes('rank=act_quantile')")
    assert chosen(page) == ["·doing"]


def test_the_page_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.ask(f"?text={TEXT}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_coloured_tokens_keep_their_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.ask(f"?text={TEXT}&position=4")
    lowest = page.evaluate(LOWEST_CONTRAST)
    assert lowest >= 4.5


@pytest.fixture
def slow_model(monkeypatch, made_up_model):
    """Loads that end when this is set, however long a reader takes to notice, and pages that do not wait for them."""
    quick, go_on = runtime._subject, threading.Event()
    monkeypatch.setattr(runtime, "_subject", lambda sae: go_on.wait(300) and quick(sae))
    monkeypatch.setattr("prompts.views.PATIENCE", 0.1)
    yield go_on
    go_on.set()


def test_the_load_is_told_while_it_goes_on(page, slow_model):
    page.ask()
    page.wait_for_function("() => /^Loading model … \\d+\\.\\d s$/.test(document.getElementById('model').textContent)")
    slow_model.set()
    page.wait_for_function("() => document.getElementById('model').textContent === ''")


def test_a_prompt_asked_during_the_load_is_answered_after_it(page, slow_model):
    page.ask(f"?text={TEXT}&position=3")
    page.wait_for_function("() => document.getElementById('model').textContent.startsWith('Loading model')")
    slow_model.set()
    page.wait_for_selector(".board")
    assert chosen(page) == ["·you"]
    assert page.evaluate("window.same")


def test_who_waits_reads_the_place_in_line_and_is_asked_again_where_the_line_is_full(page, sae, monkeypatch):
    page.ask(f"?text={TEXT}&position=3")
    page.wait_for_selector(".board")
    line = runtime._slot_of(sae).line
    before = [line.enter() for _ in range(3)]  # one has its turn, two wait
    page.click(".pick[data-position='2']")
    page.wait_for_function("() => document.getElementById('model').textContent === '3rd in line …'")
    [visit.leave() for visit in before]
    page.wait_for_function("() => location.search.includes('position=2')")
    monkeypatch.setattr(runtime, "_places", threading.BoundedSemaphore(1))
    with runtime._places:
        page.click(".pick[data-position='1']")
        page.wait_for_function("() => document.getElementById('model').textContent.includes('wait for the model')")
    page.wait_for_function("() => location.search.includes('position=1')")
    assert page.locator("#trouble").is_hidden()


LISTED_ON = """([text, position]) => fetch(
  `?${new URLSearchParams({text, position, top: 9999, dashboards: 0})}&format=json`)
  .then(response => response.json())
  .then(found => found.dashboards.length ? null : found.ranking.map(({feature}) => feature))"""
LOWEST_CONTRAST = """async () => {
  const { contrast } = await import("/static/shared/colours.js");
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const page = rgb(getComputedStyle(document.body).backgroundColor);
  const nodes = document.querySelectorAll(".token, .pick, .chip, .board .muted, .legend");
  return Math.min(...[...nodes].map((node) => {
    const { color, backgroundColor } = getComputedStyle(node);
    const back = rgb(backgroundColor);
    return contrast(rgb(color).slice(0, 3), back[3] === 0 ? page : back.slice(0, 3));
  }));
}"""
