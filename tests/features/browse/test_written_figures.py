"""Do figures, tooltips and cards in a browser say what is known, and no more?"""

import pytest

from features.engine.text.invisible import RANGES, visible
from tests.browser import browser, page  # noqa: F401

from .. import shown

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WRITTEN = """async () => {
  const { quantileText } = await import("/static/shared/text.js");
  const { histogram } = await import("/static/shared/histogram.js");
  const titles = (drawn) => { // what is told along the whole width
    const { left, width } = drawn.getBoundingClientRect();
    const at = (share) => {
      drawn.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: left + share * width }));
      return drawn.querySelector("title").textContent;
    };
    return [...new Set(Array.from({ length: 999 }, (_, i) => at((i + 0.5) / 999)))];
  };
  const drawn = (edges) => {
    const { node } = histogram({ edges, counts: edges.slice(1).map(() => 1) });
    document.querySelector("main").append(node);
    return node.querySelector("svg");
  };
  return {
    quantiles: [[1 - 51 / 4e6, 4e6], [1 - 52 / 4e6, 4e6], [1 - 12345 / 4e6, 4e6], [0.7, 100], [0.7, 4e6], [0, 4e6]]
      .map((asked) => quantileText(...asked)),
    edges: titles(drawn([5, 5.01, 5.02, 5.03])),
    densities: titles(document.querySelector("#densities svg")),
  };
}"""

SPELLED = """async (letters) => {
  const { visible } = await import("/static/shared/text.js");
  return letters.map(visible);
}"""


@pytest.fixture
def sae(transactional_db, tmp_path):
    return shown.shown_sae(tmp_path)


def test_quantiles_and_edges_have_the_digits_that_tell_them_apart(page, live_server, sae):  # noqa: F811
    page.goto(f"{live_server.url}/saes/tiny/")
    written = page.evaluate(WRITTEN)
    assert written["quantiles"] == ["99.99872 %", "99.9987 %", "99.69 %", "70.0 %", "70 %", "0 %"]
    assert written["edges"] == ["5 to 5.01: 1", "5.01 to 5.02: 1", "5.02 to 5.03: 1"]
    # Densities are drawn over powers of ten; each edge is told to three digits.
    spans = [title.split(":")[0] for title in written["densities"]]
    assert len(spans) == len(set(spans)) > 20 and spans[-1].endswith(" to 100 %")
    assert all(len({part.strip(" %") for part in span.split(" to ")}) == 2 for span in spans)


def test_a_special_token_is_told_to_be_uncounted_not_silent(page, live_server, sae):  # noqa: F811
    page.goto(f"{live_server.url}/saes/tiny/features/0/")
    page.click("#context button >> text=whole row")
    page.locator(".token.special").first.hover()
    card = page.locator(".card:visible").text_content()
    assert "not counted in any figure" in card and "Not active" not in card


def test_what_cannot_be_seen_is_spelled_alike_in_pages_and_scripts(page, live_server, sae):  # noqa: F811
    page.goto(f"{live_server.url}/saes/tiny/")
    edges = {code + by for edges in RANGES for code in edges for by in (-1, 0, 1)}
    codes = {*range(0x3100), *edges, *range(0x10000, 0x110000, 997)} - {-1, *range(0xD800, 0xE000)}
    letters = [chr(code) for code in sorted(codes)]
    assert page.evaluate(SPELLED, letters) == [visible(letter) for letter in letters]
