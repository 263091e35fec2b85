"""Labelling in a real browser: saved while typing, nothing typed is lost, two windows, markup stays text."""

import pytest

from features.models import Judgement
from tests.browser import browser, page  # noqa: F401

from .. import shown
from ..browse.test_browser import site, stand_at  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
STUNG = "<img src=x onerror='window.stung = 1'>"


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.shown_sae(tmp_path)


def kept(page):  # noqa: F811
    page.wait_for_function("() => document.getElementById('judge-state').textContent === 'kept'")


def test_labels_are_kept_while_they_are_typed_and_survive_a_site_that_is_away(page, site):  # noqa: F811
    page.goto(f"{site}2/")
    page.wait_for_selector("#judge:not([hidden])")
    page.evaluate("localStorage.setItem('saeviz:stars:tiny', '[4]')")  # of an earlier version
    page.keyboard.press("l")
    page.keyboard.type(f"brackets {STUNG}")
    kept(page)
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    page.keyboard.press("s")
    page.wait_for_function("() => document.getElementById('star').textContent === '★ Starred'")
    kept(page)
    one = Judgement.objects.get(index=2)
    assert (one.label, one.grade, one.star) == (f"brackets {STUNG}", "clear", True)

    page.keyboard.press("ArrowRight")  # what is typed goes with its own feature
    stand_at(page, 3)
    page.wait_for_function("() => document.getElementById('judge-label').value === ''")
    page.keyboard.press("ArrowLeft")
    stand_at(page, 2)
    page.wait_for_function("() => document.getElementById('judge-label').value.startsWith('brackets')")
    assert page.evaluate("window.stung") is None

    page.route("**/labels/2.json", lambda route: route.abort())
    page.fill("#judge-label", "typed while it was away")
    page.wait_for_selector("#judge-trouble button")
    assert "stays in this browser" in page.inner_text("#judge-trouble")
    page.unroute("**/labels/2.json")
    page.reload()
    page.wait_for_selector("#judge-trouble button")
    assert page.input_value("#judge-label") == "typed while it was away"
    assert Judgement.objects.get(index=4).star

    Judgement.objects.filter(index=2).update(revision=9, label="of another window")
    page.click("text=Keep it")
    page.wait_for_function("() => document.getElementById('judge-trouble').textContent.includes('of another window')")
    page.click("text=Keep mine")
    kept(page)
    assert Judgement.objects.get(index=2).label == "typed while it was away"
