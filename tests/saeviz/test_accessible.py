"""Can every page be read by whoever does not see it, has no mouse, or enlarges it? Asked of axe-core, page by page.

The pages are those of the URL configuration: an address that is neither audited nor named as no page fails here.
"""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.urls import get_resolver

from features import runtime
from features.grading import sample
from features.jobs.status import KINDS
from features.models import GradingSample
from tests.browser import browser, close  # noqa: F401
from tests.features.ask.conftest import with_kept
from tests.features.autointerp.made import finished
from tests.features.runs import made
from tests.prompts.made_up_prompt import MadeUpPrompt

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = Path(__file__).parent.parent / "axe" / "axe.min.js"
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
REPEATED = [  # what looks as its neighbours do; contrast of all tokens is held in tests/prompts/test_browser.py
    ".sequence .token:not(.chosen)",
    ".sequence:nth-child(n+3)",
    ".group:nth-child(n+3)",
    ".board:nth-child(n+3)",
    "tbody tr:nth-child(n+6)",
]
OF_COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
SAE = "/saes/tiny"
PAGES = {  # name of a route -> addresses of it, each with what stands there once it is drawn
    "features:home": [("/", "h1")],
    "features:sae": [(f"{SAE}/", "#densities .histogram")],
    "features:ask": [(f"{SAE}/ask/", "h1"), (f"{SAE}/ask/?q=token(/script/)", "#read .group")],
    "features:ask-by-examples": [(f"{SAE}/ask/examples/", "h1")],
    "features:table": [(f"{SAE}/features/?range=density:0.0001:", "h1")],
    "features:feature": [
        (f"{SAE}/features/0/", ".groups .group:last-child .chosen"),
        (f"{SAE}/features/3/", "#activations p"),  # dead
        (f"{SAE}/features/11/", "#missing"),  # without statistics
    ],
    "features:autointerp": [(f"{SAE}/autointerp/", "#job")],
    "features:labels": [(f"{SAE}/labels/", "h1")],
    "features:beside": [(f"{SAE}/features/0/beside/", "h1")],
    "features:compare": [(f"{SAE}/features/0/compare/?with=1", "h1")],
    "features:overview": [(f"{SAE}/overview/", "h1")],
    "features:dictionaries": [(f"{SAE}/beside/", "h1")],
    "features:runs": [("/runs/", "h1")],
    "features:run": [("/runs/made/", "svg")],
    "features:checkpoint": [("/runs/made/{checkpoint}/", "h1")],
    "features:gradings": [(f"{SAE}/grading/", "h1")],
    "features:grading": [("/grading/{grading}/", ".sequence")],
    "features:grading-result": [("/grading/{grading}/result/", "h1")],
    "prompts:prompt": [
        (f"{SAE}/prompt/", "h1"),
        (f"{SAE}/prompt/?text=What+are+you+doing?&position=4", ".answer:not([aria-busy=true]) .board"),
    ],
}
ADMIN = {  # and all changelists
    "admin:index": "/admin/",
    "admin:features_import_add": "/admin/features/import/add/",
    "kept": "/admin/kept/",
    "kept-remove": "/admin/kept/remove/?kind=corpus&key=tiny",
}
FILES = """health metrics
    features:{ask-near ask-progress ask-json table-file passing-json feature-json explained-json claims-json
    feature-labels labels-findings labels-export training-json run-json grading-item grading-json grading-csv jobs-json
    overview-listed overview-column overview-map run-log sae-json} prompts:{without model-json stored try}"""
ACTIONS = """features:{random claim claim-remove stars dictionaries-compare labels-import labels-write-findings
    overview-request-map run-upload run-upload-file run-claims checkpoint-star grading-labels verify autointerp-go-on
    label-reject}
    admin:features_import_upload"""
OF_WORK = {f"features:{kind}-{what}" for kind in KINDS for what in ("json", "cancel", "retry")}
DJANGOS_OWN = re.compile(
    r"admin:(auth_.*|.*_(add|change|delete|history)|log(in|out)|password_.*|autocomplete|jsi18n|None|view_on_site|app_list)"
)


def names_in(text):
    """ "a b:{c d}" names a, b:c and b:d."""
    for prefix, several, alone in re.findall(r"([\w-]+:)\{([^}]*)\}|(\S+)", text):
        yield from (prefix + name for name in several.split()) if several else [alone]


def routes(resolver=None, prefix=""):
    for pattern in (resolver or get_resolver()).url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern, f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix)
        else:
            yield f"{prefix}{pattern.name}"


def changelists():
    return sorted(name for name in routes() if re.fullmatch(r"admin:features_\w+_changelist", name))


def changelists_to_look_at():
    """All of one template of Django's: those that have rows, and one without."""
    empty = [name for name in changelists() if not apps.get_model("features", name.split("_")[1]).objects.exists()]
    return [name for name in changelists() if name not in empty[1:]]


def test_every_route_is_audited_or_named_as_no_page():
    known = {*PAGES, *ADMIN, *names_in(FILES), *names_in(ACTIONS), *OF_WORK, *changelists()}
    unknown = [name for name in routes() if name not in known and not DJANGOS_OWN.fullmatch(name)]
    assert unknown == []  # give it an address in PAGES, or name it where it is no page
    assert not known - set(routes())


@pytest.fixture
def visit(live_server, transactional_db, tmp_path, client, monkeypatch, browser):  # noqa: F811
    """visit(address, drawn): a window at 1440 pixels, in which axe is at hand, of somebody who may do everything."""
    sae = with_kept(tmp_path)[0]
    finished(sae)
    run = made.run(sae, checkpoints=3, d_sae=sae.d_sae)
    monkeypatch.setattr(sample, "_silence_of", lambda sae: lambda index: lambda *place: True)
    monkeypatch.setattr(runtime, "_subject", lambda sae: sae)
    monkeypatch.setattr(runtime, "_first_forward", lambda subject: None)
    monkeypatch.setattr(runtime, "_analyse", lambda subject, ids: MadeUpPrompt(ids, features=8))
    client.force_login(get_user_model().objects.create_superuser("ada"))
    client.post(f"{SAE}/grading/", {"size": 3, "seed": 5})
    known = {"checkpoint": run.in_order().last().pk, "grading": GradingSample.objects.get().key}
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.add_init_script(path=AXE)
    context.route(re.compile(r"/static/admin/js/(?!theme)"), lambda route: route.abort())  # Django's own, and many
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()

    def goto(address, drawn):
        page.goto(live_server.url + address.format(**known), timeout=60_000)
        page.wait_for_selector(drawn, state="attached", timeout=20_000)
        return page

    yield goto
    close(context)


def violations(page, rules):
    run = """([rules, repeated]) => axe.run(
        {include: [["html"]], exclude: repeated.filter(of => document.querySelector(of)).map(of => [of])},
        {runOnly: rules, resultTypes: ['violations']}).then(found => found.violations)"""
    return [
        f"{found['id']}: {len(found['nodes'])} of {found['nodes'][0]['target']} {found['nodes'][0]['html'][:160]}"
        for found in page.evaluate(run, [rules, REPEATED])
    ]


OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_no_page_violates_a_rule_of_axe_in_light_or_dark_nor_overflows_when_enlarged(visit):
    found = {}
    for address, drawn in [place for places in PAGES.values() for place in places]:
        page = visit(address, drawn)
        found[address] = violations(page, RULES)
        page.emulate_media(color_scheme="dark")
        found[f"{address} dark"] = violations(page, OF_COLOURS)
        page.emulate_media(color_scheme="light")
        for width in (720, 390):  # 200 % of 1440; a telephone
            page.set_viewport_size({"width": width, "height": 1000})
            found[f"{address} at {width}"] = page.evaluate(OVERFLOW) * [f"{page.evaluate(OVERFLOW)} px too wide"]
        page.set_viewport_size({"width": 1440, "height": 1000})
    for name in [*ADMIN, *changelists_to_look_at()]:
        page = visit(ADMIN.get(name) or f"/admin/features/{name.split('_')[1]}/", "#content")
        found[name] = violations(page, RULES)
    assert not {address: said for address, said in found.items() if said}


STOP = """() => {
  const node = document.activeElement;
  const { outlineStyle, outlineWidth, boxShadow, borderColor } = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  return {tag: node.tagName, path: `${node.tagName}#${node.id}.${node.className} ${node.textContent.slice(0, 20)}`,
    seen: outlineStyle !== "none" && outlineWidth !== "0px" && box.width > 0 && box.height > 0};
}"""


@pytest.mark.parametrize("name, most", [("features:feature", 90), ("prompts:prompt", 90)])
def test_a_page_is_walked_by_keyboard_with_the_focus_always_seen(visit, name, most):
    address, drawn = PAGES[name][-1] if name.startswith("prompts") else PAGES[name][0]
    page = visit(address, drawn)
    page.evaluate("document.activeElement.blur()")
    stops = []
    while len(stops) <= most:
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop["tag"] == "BODY":
            break
        stops.append(stop)
    assert stops[0]["path"].startswith("A#.skip")
    assert len(stops) <= most  # neither a trap nor a stop for each token
    assert [stop["path"] for stop in stops if not stop["seen"]] == []


def test_in_forced_colours_activations_and_what_is_pressed_are_still_seen(visit):
    page = visit(*PAGES["features:feature"][0])
    page.emulate_media(forced_colors="active")
    colour = "node => getComputedStyle(node).backgroundColor"
    page_colour = page.evaluate(f"({colour})(document.body)")
    assert page.locator(".groups .chosen").first.evaluate(colour) != page_colour
    pressed, other = (page.locator(f"#context [aria-pressed={is_so}]").first for is_so in ("true", "false"))
    assert pressed.evaluate(colour) != other.evaluate(colour)
