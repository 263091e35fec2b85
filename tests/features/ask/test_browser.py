"""A question in a real browser: the answer's text is drawn as examples are, in a window and on a telephone."""

import pytest

from features.ask import question
from tests.browser import browser, narrow_page, page  # noqa: F401

from .conftest import PRINT, SCRIPT, with_kept

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(live_server, transactional_db, tmp_path):
    with_kept(tmp_path)
    return f"{live_server.url}/saes/tiny/ask/"


def test_a_pattern_is_typed_and_its_answer_read(page, site):  # noqa: F811
    page.goto(site)
    page.keyboard.press("/")
    page.keyboard.type("token(/script/)")
    page.keyboard.press("Enter")
    page.wait_for_selector("#read .group")
    assert page.locator("table.features tbody tr").first.locator("a.row-link").inner_text() == f"#{SCRIPT}"
    assert [group.split("\n")[0].split(":")[0] for group in page.locator("#read h3").all_inner_texts()] == [
        "Hits",
        "Misses",
        "False alarms",
    ]
    chosen = page.locator("#read .group").first.locator(".token.chosen").all_inner_texts()
    assert chosen and all("script" in text for text in chosen)
    page.locator("#read .token.chosen").first.hover()
    assert "Activation" in page.locator(".card:not([hidden])").inner_text()
    assert page.evaluate("window.stung") is None  # the corpus tries to
    page.locator(f"a[href*='feature={PRINT}']").click()
    page.wait_for_function("i => document.querySelector('#read h2').textContent.includes(`#${i}`)", arg=PRINT)


def test_a_long_text_on_a_telephone(narrow_page, site, monkeypatch):  # noqa: F811
    """The pattern is looked for first; then nothing is wider than the page."""
    monkeypatch.setattr(question, "LONG", 0)
    narrow_page.goto(site)
    narrow_page.fill("#search", "token(/script/)")
    with narrow_page.expect_request("**/ask.progress?q=token*"):
        narrow_page.click("#ask button")
    narrow_page.wait_for_selector("#read .group .token")
    assert narrow_page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_pattern_is_drawn_on_examples_and_stays_on_the_next_feature(page, site):  # noqa: F811
    page.goto(site.replace("/ask/", f"/features/{SCRIPT}/"))
    page.fill("#claims [name=q]", "token(/script/)")
    page.press("#claims [name=q]", "Enter")
    page.wait_for_selector("#examples .token.explained")
    assert all("script" in text for text in page.locator("#examples .token.explained").all_inner_texts())
    assert "Over all activations: F1 0.889" in page.locator("#claims output").inner_text()
    line = page.locator("#examples .sequence.unexplained .token.chosen").first
    assert "script" not in line.inner_text()
    page.click("#context button:has-text('whole row')")
    assert page.locator("#examples .token.explained").count()
    page.click("#next")
    page.wait_for_function("() => document.querySelector('#heading').textContent.includes('#6')")
    page.wait_for_function("() => document.querySelector('#claims output').textContent.includes('F1')")
    page.fill("#claims [name=q]", "a and (")
    page.click("#claims .draw")
    page.wait_for_function("() => document.querySelector('#claims output').textContent.includes('at character 8')")
    assert not page.locator("#examples .token.explained").count()
