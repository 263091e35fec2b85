"""What a reader and staff see of long work on an SAE's page, in a real browser: one panel, whatever the work is."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from features.jobs import lifecycle
from features.models import SAE, Job, Verification
from tests.browser import browser, narrow_page, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def sae(transactional_db, tmp_path, sent):
    return shown.sae_in_a_folder(tmp_path)


def logged_in(page, client, live_server):  # noqa: F811
    client.force_login(get_user_model().objects.create_superuser("ada"))
    cookie = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    return page


def test_a_computation_and_a_verification_are_followed_side_by_side(narrow_page, client, live_server, sae):  # noqa: F811
    page = logged_in(narrow_page, client, live_server)  # noqa: F811
    job = Job.objects.create(
        sae=sae,
        tokens=100,
        state="running",
        phase="activations",
        done=25,
        total=100,
        rate=0.2,
        heartbeat=timezone.now(),
    )
    asked = Verification.objects.create(sae=sae)
    page.goto(f"{live_server.url}{sae.get_absolute_url()}")
    page.locator("#progress").get_by_text(
        "reading activations: 25 of 100 tokens, 0.2 per second, 6 min 15 s left"
    ).wait_for()
    page.locator("#verifying").get_by_text("The verification waits for a worker.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lifecycle.fail(lifecycle.row(Job(pk=job.pk)), "<b>No</b> space is left.")
    page.locator("#progress").get_by_text("<b>No</b> space is left.").wait_for()
    page.locator("#verifying").get_by_role("button", name="Cancel").click()
    page.locator("#verifying").get_by_text("The last verification was cancelled.").wait_for()
    page.locator("#verifying").get_by_role("button", name="Try again").click()
    page.locator("#verifying").get_by_text("waits for a worker").wait_for()
    SAE.objects.update(verification={"passed": True, "activations": 9, "features": 3, "largest_difference": 0.5})
    Verification.objects.filter(pk=asked.pk).update(state="done")
    page.get_by_text("The stored activations are those of the files").wait_for()  # the page is new
    assert page.locator("#verifying").count() == 0
