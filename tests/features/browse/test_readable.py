"""Can everything be read: on a telephone, in the dark, on every shade of every colour?"""

import pytest

from features.models import Statistics
from tests.browser import browser, narrow_page, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(live_server, transactional_db, tmp_path):
    shown.shown_sae(tmp_path)
    return f"{live_server.url}/saes/tiny/features/"


def test_a_telephone_needs_no_sideways_scrolling(narrow_page, site, live_server):  # noqa: F811
    # The longest figures of an SAE are those with intervals.
    Statistics.objects.update(loss_recovered_margin=0.0123, loss_cost_margin=0.0045)
    for path in ("features/0/", "features/", "features/9/", ""):
        narrow_page.goto(f"{live_server.url}/saes/tiny/{path}")
        narrow_page.wait_for_timeout(200)
        assert narrow_page.evaluate("document.documentElement.scrollWidth") <= 390, path
    narrow_page.goto(live_server.url)
    assert narrow_page.evaluate("document.documentElement.scrollWidth") <= 390


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const behind = (n) => {
    const colour = n ? rgba(getComputedStyle(n).backgroundColor) : [255, 255, 255, 255];
    return colour[3] > 250 ? colour : behind(n.parentElement); };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("noscript, [aria-disabled=true], dialog")) continue;
    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => x - y);
    const size = parseFloat(getComputedStyle(node).fontSize);
    found.push([(b + 0.05) / (a + 0.05), size, node.textContent.slice(0, 30)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_written_is_readable(page, site, live_server, scheme):  # noqa: F811
    page.emulate_media(color_scheme=scheme)
    for path in (
        "/",
        "/saes/tiny/",
        "/saes/tiny/features/",
        "/saes/tiny/features/0/",
        "/saes/tiny/features/9/",
    ):
        page.goto(live_server.url + path)
        page.wait_for_timeout(200)
        measured = page.evaluate(CONTRASTS)
        assert len(measured) > 10
        assert [m for m in measured if m[0] < 4.5] == [], path
        assert [m for m in measured if m[1] < 12] == [], path


def test_every_shade_of_every_hue_carries_readable_text(page, site):  # noqa: F811
    page.goto(site)
    worst = page.evaluate("""async () => {
      const { fill, contrast } = await import("/static/shared/colours.js");
      const rgb = (css) => css.match(/rgb\\([^)]*\\)/g).map((c) => c.match(/\\d+/g).map(Number));
      let worst = 21;
      for (const hue of ["orange", "blue", "red"])
        for (let share = 0.001; share <= 1; share += 0.001) {
          const style = fill(share, hue);
          const [backgrounds, inks] = [rgb(style["background-color"]), rgb(style.color)];
          for (const at of [0, 1]) worst = Math.min(worst, contrast(backgrounds[at], inks[at]));
        }
      return worst; }""")
    assert worst >= 4.5
