"""Grading with keys in a real browser: the question, the panels, the next one, the result."""

import pytest

from features.grading import sample
from features.models import GradingAnswer
from tests.browser import browser, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_sample_is_graded_with_keys_left_and_taken_up(live_server, transactional_db, tmp_path, page, monkeypatch):  # noqa: F811
    monkeypatch.setattr(sample, "_silence_of", lambda sae: lambda index: lambda *place: True)
    shown.shown_sae(tmp_path)
    page.goto(f"{live_server.url}/saes/tiny/grading/")
    page.fill("[name=size]", "3")
    page.fill("[name=seed]", "5")
    page.click("text=Draw and begin")
    for number in (1, 2):
        page.wait_for_function(
            "n => heading.textContent === `Feature ${n} of 3` && !main.matches('.stale')", arg=number
        )
        if page.is_visible("#question"):
            assert page.locator("#lines .sequence").count() == 5
            page.keyboard.press("4")
            page.wait_for_selector("#panels:not([hidden])")
            page.wait_for_function("() => !main.matches('.stale')")
        assert page.locator("#examples .sequence").count() > 5
        page.keyboard.press(str(number))
    page.wait_for_function("() => heading.textContent === 'Feature 3 of 3'")
    assert list(GradingAnswer.objects.exclude(grade="").values_list("number", "grade")) == [(0, "clear"), (1, "partly")]
    page.goto(page.url.split("#")[0])  # left, and taken up again
    page.wait_for_function("() => heading.textContent === 'Feature 3 of 3' && !main.matches('.stale')")
    if page.is_visible("#question"):
        page.keyboard.press("1")
        page.wait_for_selector("#panels:not([hidden])")
        page.wait_for_function("() => !main.matches('.stale')")
    page.keyboard.press("3")
    page.wait_for_url("**/result/")
    assert "Which they were" in page.text_content("main")
