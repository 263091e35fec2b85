"""Does a feature's page follow the hand? In a real browser on the demo: slider, bytes, steps, a prompt."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext

from tests.browser import CHROMIUM, QUIET

from . import bench_web
from .bench_web import KEPT, ROOT, SLUG, fetch, say

FEATURES = 60
SEED = 7
PROMPT = "The quick brown fox jumps over the lazy dog, and then"

# In the page: an event is painted once a frame shows number, density and ten top lines that are this feature's own.
WATCH = """
window.told = new Map();  // feature -> [density, first top line], as its JSON says
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => longTasks.push(entry.duration)))
  .observe({ type: "longtask" });
window.seen = () => {
  const index = Number(document.getElementById("heading")?.textContent.match(/#(\\d+)/)?.[1]);
  const wanted = told.get(index);
  if (!wanted) return null;
  const density = document.querySelector("#activations .density strong")?.textContent;
  const lines = document.querySelectorAll("#examples .group:first-child .sequence");
  const first = lines[0]?.querySelector(".after")?.textContent;
  return density === wanted[0] && lines.length >= Math.min(10, wanted[2]) && first === wanted[1] ? index : null;
};
window.move = (index) => {
  const slider = document.getElementById("slider");
  slider.value = index;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
};
window.painted = (index, limit = 5000) => new Promise((done) => {
  const start = performance.now();
  const look = () => requestAnimationFrame(() => {
    if (seen() === index) setTimeout(() => done(performance.now() - start));
    else if (performance.now() - start > limit) done(null);
    else look();
  });
  move(index);
  look();
});
window.sweep = async (indices, every) => {
  const shown = new Set();
  let running = true;
  const look = () => requestAnimationFrame(() => {
    if (indices.includes(seen())) shown.add(seen());
    if (running) look();
  });
  look();
  const start = performance.now();
  for (let i = 0; i < indices.length; i++) {
    const due = start + i * every - performance.now();
    if (due > 0) await new Promise((later) => setTimeout(later, due));
    move(indices[i]);
  }
  await new Promise((later) => setTimeout(later, 1500));
  running = false;
  return shown.size;
};
"""
TOLD = """async (indices) => {
  const { figure, percent, visible } = await import(document.querySelector("[href*='shared/text']").href);
  for (const index of indices) {
    const data = await (await fetch(`../${index}.json`)).json();
    if (data.missing || data.dead) continue;
    const [first] = data.sequences.top;
    const after = first.tokens.slice(first.position, first.position + 9).map(visible).join("");
    told.set(index, [percent(data.density), after, data.sequences.top.length]);
  }
  return indices.filter((index) => told.has(index));
}"""


def main():
    if CHROMIUM is None:
        sys.exit("No Chromium found: install chromium-headless-shell or chromium.")
    from playwright.sync_api import sync_playwright

    with nullcontext(KEPT) if KEPT else tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
        if not KEPT:
            environment.pop("DATABASE_URL", None)
            bench_web.prepare(environment)
        with serving(environment) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            say("load of the machine", " ".join(f"{n:.1f}" for n in os.getloadavg()))
            measure(browser, site)
            browser.close()


def measure(browser, site):
    features = f"{site}/saes/{SLUG}/features/"
    active = listed(f"{site}/saes/{SLUG}/features.json?range=count:100..&sort=index")
    scattered = [active[(SEED + 997 * n) % len(active)] for n in range(FEATURES)]
    for name, value, bar in bytes_of_features(features, scattered):
        say(name, f"{value:,.1f} kB{bar}")
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.add_init_script(WATCH)
    wire = counted_bytes(page)
    page.goto(f"{features}{scattered[0]}/", wait_until="networkidle")
    say("first page with its neighbours", f"{sum(wire) / 1000:,.1f} kB in {len(wire)} answers (bar 100)")

    known = page.evaluate(TOLD, scattered)
    spent = processor_seconds(page)
    before = spent()
    times = []
    for index in known[1:]:
        times.append(page.evaluate("index => painted(index)", index))
        page.wait_for_timeout(400)  # the whole feature is drawn meanwhile
    used = spent() - before
    reached = sorted(time for time in times if time is not None)
    say("slider, scattered: event to painted, median", f"{statistics.median(reached):.0f} ms (bar 100)")
    say("slider, scattered: 95th percentile", f"{reached[int(0.95 * len(reached))]:.0f} ms (bar 180)")
    say("slider, scattered: renderer's processor", f"{1000 * used / len(times):.0f} ms a feature, whole page included")
    if len(reached) < len(times):
        say("slider, scattered: not painted within 5 s", str(len(times) - len(reached)))

    start = active[len(active) // 4]
    way = [start + 20 * n for n in range(FEATURES)]
    alive = page.evaluate(TOLD, way)
    page.evaluate("longTasks.length = 0")
    shown = page.evaluate("([way, every]) => sweep(way, every)", [alive, 16])
    say(f"slider, {len(alive)} events at 16 ms: painted", f"{shown} (bar 50 of 60)")
    say("long tasks meanwhile", told_tasks(page))

    page.goto(f"{features}{scattered[1]}/", wait_until="networkidle")
    page.evaluate("longTasks.length = 0")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(300)
    say("ten steps to prefetched neighbours: long tasks", told_tasks(page) + " (bar none above 50 ms)")
    page.close()
    prompt(browser, site)


def prompt(browser, site):
    """From the choice of a token to the painted ranking."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{site}/saes/{SLUG}/prompt/?text={PROMPT}", wait_until="networkidle")
    times = []
    for _ in range(8):
        start = time.perf_counter()
        with page.expect_response("**format=json**", timeout=120_000):
            page.keyboard.press("ArrowLeft")
        page.wait_for_function(
            "() => !document.querySelector('.stale') && document.querySelectorAll('.board .score').length === 10"
        )
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        times.append(1000 * (time.perf_counter() - start))
    say("a prompt's answer painted, median", f"{statistics.median(times[1:]):.0f} ms (bar 400)")
    page.close()


def told_tasks(page) -> str:
    tasks = page.evaluate("longTasks")
    return f"{len(tasks)}, longest {max(tasks):.0f} ms" if tasks else "none"


def bytes_of_features(features, indices):
    sizes = sorted(len(sent(f"{features}{index}.json")) / 1000 for index in indices)
    yield "JSON of a feature, compressed: median", statistics.median(sizes), " (bar 20)"
    yield "JSON of a feature, compressed: 95th percentile", sizes[int(0.95 * len(sizes))], " (bar 60)"
    passing = sorted(len(sent(f"{features}passing.json?of={index}")) / 1000 for index in indices)
    yield "a feature that the slider passes: median", statistics.median(passing), ""


def sent(address) -> bytes:
    """The body as it goes to a browser."""
    from urllib.request import Request, urlopen

    with urlopen(Request(address, headers={"Accept-Encoding": "br"}), timeout=60) as answer:
        return answer.read()


def listed(address) -> list[int]:
    return [row["feature"] for row in json.loads(fetch(address, until=time.perf_counter() + 60))["features"]]


def counted_bytes(page) -> list[int]:
    """Encoded bytes of each answer, filled as they come."""
    wire = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: wire.append(event["encodedDataLength"]))
    return wire


def processor_seconds(page):
    """Tells the seconds of processor that the page's main thread has had."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.setTimeDomain", {"timeDomain": "threadTicks"})
    session.send("Performance.enable")

    def so_far() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "TaskDuration")

    return so_far


@contextmanager
def serving(environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "saeviz.serving", "--port", str(port)]
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        fetch(f"http://127.0.0.1:{port}/", until=time.perf_counter() + 90)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()
