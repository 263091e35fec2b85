"""Staff watch an import in a browser: bytes as they come, and a button that stops it; and they send files."""

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from features.importing import job
from features.jobs import lifecycle
from features.models import Import
from tests.browser import browser, page  # noqa: F401
from tests.engine import small

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def row(sent):
    coming = {"phase": "model_final.pth", "done": 50_000_000, "total": 200_000_000, "rate": 5e6}
    return Import.objects.create(path=job.GELU1L, state="running", heartbeat=timezone.now(), **coming)


@pytest.fixture
def staff(page, live_server, client):  # noqa: F811
    """A page of somebody who may import."""
    client.force_login(get_user_model().objects.create_superuser("ada"))
    cookie = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    return page


@pytest.fixture
def listed(staff, live_server, row):
    """The list of imports, as staff see it."""
    staff.goto(f"{live_server.url}/admin/features/import/")
    return staff.locator("[data-progress]")


def test_bytes_rate_and_time_left_are_followed_until_the_end(listed, page, row):  # noqa: F811
    listed.get_by_text("running: model_final.pth: 50 of 200 MB, 5.0 MB/s, 30 s left …").wait_for()
    listed.locator("progress").wait_for()
    assert float(listed.locator("progress").get_attribute("value")) == 0.25
    Import.objects.filter(pk=row.pk).update(done=150_000_000)
    listed.get_by_text("150 of 200 MB, 5.0 MB/s, 10 s left").wait_for()
    Import.objects.filter(pk=row.pk).update(state="done")
    page.locator("[data-progress][data-state=done]").wait_for()  # the list itself is new
    assert listed.text_content() == "done" and page.get_by_role("button", name="Cancel").count() == 0


def test_the_button_asks_it_to_stop(listed, page, row):  # noqa: F811
    with page.expect_response("**/cancel/") as answer:
        page.get_by_role("button", name="Cancel").click()
    assert answer.value.status == 200
    listed.get_by_text("Stops as soon as the step it is in has ended.", exact=True).wait_for()
    assert page.get_by_role("button", name="Cancel").count() == 0
    row.refresh_from_db()
    assert row.cancel_requested
    lifecycle.stop(Import.objects.all())
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Cancel").wait_for()
    row.refresh_from_db()
    assert (row.state, row.error) == ("queued", "")


def test_files_are_sent_with_a_bar_and_looked_at(staff, live_server, settings, tmp_path):
    settings.DATA_DIR, settings.SAEVIZ_FOLDERS = tmp_path / "data", [str(tmp_path / "open")]
    small.write_sae(tmp_path / "mine")
    staff.goto(f"{live_server.url}/admin/features/import/add/")
    staff.evaluate("document.getElementById('upload').dataset.limit = 10")
    staff.locator("#files").set_input_files(
        [tmp_path / "mine" / name for name in ("cfg.json", "sae_weights.safetensors")]
    )
    staff.get_by_role("button", name="Upload").click()
    staff.get_by_text("at most 10 bytes are taken").wait_for()
    staff.evaluate("document.getElementById('upload').dataset.limit = 1e9")
    staff.get_by_role("button", name="Upload").click()
    staff.locator("#detected").get_by_text("saelens, standard").wait_for(timeout=60_000)  # in a child, begun anew
    assert staff.locator("select[name=path]").input_value().endswith("/open/uploads/sae_weights")
    assert (tmp_path / "open" / "uploads" / "sae_weights" / "cfg.json").is_file()
