"""A real Chromium for tests: `browser` for a file of tests, `page` for one. Skipped where there is none."""

import os
import shutil
import threading
import time

import pytest

# The same engine without windows and menus takes half of the processor's time, and comes first.
KNOWN = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, KNOWN)), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 60  # seconds for what takes a tenth of one where nothing else runs


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip(f"no Chromium found: install one of {', '.join(KNOWN)} to run the browser tests")
    from playwright.sync_api import sync_playwright

    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    # Playwright's loop runs in the thread that uses the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser):
    """A page of 1440 pixels that fails its test on any script error and on whatever the site's policy refuses."""
    yield from opened(browser)


@pytest.fixture
def narrow_page(browser):
    """The same on a telephone."""
    yield from opened(browser, viewport={"width": 390, "height": 844})


def opened(browser, viewport=None, **options):
    context = browser.new_context(viewport=viewport or {"width": 1440, "height": 1000}, **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    close(context)
    assert not errors, errors


def close(context, seconds=PATIENCE):
    """Close what a test has opened, and wait for the requests it leaves behind: the database is emptied next."""
    context.close()
    until = time.monotonic() + seconds
    while any("process_request_thread" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < until, "the site still answers a window that is closed"
        time.sleep(0.005)
