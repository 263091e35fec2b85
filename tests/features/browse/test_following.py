"""What goes along, in a real browser, when the page moves to another feature: what was found, the text tried."""

import json
import re

import pytest

from features.storage import findings_file
from tests.browser import browser, page  # noqa: F401

from .. import shown
from .test_browser import opened, stand_at

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.sae_in_a_folder(tmp_path)


@pytest.fixture
def site(live_server, sae):
    return f"{live_server.url}/saes/tiny/features/"


def test_what_was_found_is_said_of_its_own_feature_only(page, site, sae):  # noqa: F811
    found = {"feature": 2, "name": "<b>Tabs</b>", "sentence": "Fires on tabs.", "look_at": "all of it."}
    findings_file.file_of(sae.path).write_text(json.dumps({"features": [found]}))
    opened(page, site, 1)
    assert page.locator("#finding").is_hidden()
    page.keyboard.press("ArrowRight")
    stand_at(page, 2)
    assert page.locator("#finding").text_content() == "<b>Tabs</b>. Fires on tabs. Look at: all of it."
    page.keyboard.press("ArrowRight")
    stand_at(page, 3)
    assert page.locator("#finding").is_hidden()


def test_a_text_tried_stays_and_is_tried_on_the_next_feature(page, site):  # noqa: F811
    asked = []

    def answer(route):
        index = int(re.search(r"/features/(\d+)/try/", route.request.url)[1])
        asked.append(index)
        said = {"tokens": ["a", "b"], "token_ids": [5, 6], "special": [False, False]}
        route.fulfill(json=said | {"activations": [0, index + 0.5], "loss_effects": [None, 0]})

    page.route("**/try/?*", answer)
    opened(page, site, 4)
    box = page.locator("#try-text textarea")
    box.fill("a text of my own")
    page.get_by_text("Strongest here: 4.5").wait_for()
    box.evaluate("node => { node.marked = true }")
    page.locator("#next").click()
    stand_at(page, 5)
    page.get_by_text("Strongest here: 5.5").wait_for()
    assert box.evaluate("node => node.marked") and box.input_value() == "a text of my own"
    assert asked == [4, 5]  # one box, which asks once for each
