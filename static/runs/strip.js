// A feature's page: the same feature through the checkpoints of its run, on the same tokens.

import { COLOURS, lines } from "./chart.js";
import { element } from "../shared/element.js";
import { recall, remember } from "../shared/memory.js";
import { figure, percent } from "../shared/text.js";

const NARROW = "(max-width: 760px)"; // as in feature.css
const WORDS = { born: "born", died: "died", revived: "came back", changed: "changed", split: "split", merged: "merged" };

/** `strip(place, base)` follows the feature that the page shows: `.show(data)`. */
export function strip(place, base) {
  let asked = null;
  async function show({ index }) {
    asked = index;
    const response = await fetch(`${base}${index}/training.json`);
    const found = await response.json().catch(() => null);
    if (asked !== index) return; // another feature is shown by now
    place.hidden = !response.ok || !found;
    if (!place.hidden) draw(place, found);
  }
  return { show };
}

function draw(place, found) {
  const urls = found.pages.map((page) => (page.panels ? page.feature : page.checkpoint));
  const warned = found.events.map((event) => (event ? [WORDS[event]] : []));
  const series = (curve) => ({ name: "", colour: COLOURS[0], x: found.x, labels: found.labels.map((label, i) => (found.pages[i].panels ? label : `${label} (no panels; its page makes them)`)), urls, warned, chosen: found.here, ...curve });
  const charts = found.curves.map((curve) => lines({
    title: curve.title, series: [series(curve)], write: curve.share ? (v, digits = 2) => percent(v, digits) : (v, digits = 3) => figure(v, digits), height: 70,
    here: found.here === null ? null : found.x[found.here], unit: found.run.unit,
  }));
  const happened = found.events.map((event, i) => event && `${WORDS[event]} at ${found.labels[i]}`).filter(Boolean);
  const narrow = matchMedia(NARROW).matches; // there a reader would have to scroll past it
  const key = narrow ? "training-narrow" : "training";
  place.replaceChildren(element("h2", { class: "heard" }, "Through training"), element("details", { open: recall(key, !narrow) },
    element("summary", { onclick: (event) => remember(key, !event.currentTarget.parentNode.open) }, "Through training", happened.length ? `: ${happened.join(", ")}` : ""),
    element("p", { class: "muted" }, "The same index at every checkpoint of ", element("a", { href: found.run.url }, found.run.name), ` on ${found.rows}. A dot opens the feature there, or the checkpoint where it has no panels.`),
    scrub(found),
    element("div", { class: "charts" }, charts),
    found.claims.length ? element("ul", { class: "claimed" }, found.claims.map((claim) => claimed(claim, found))) : null));
}

/** The same panels at the checkpoints before and after that have some, and this one beside them. */
function scrub({ pages, labels, here }) {
  if (here === null) return null;
  const near = [pages.findLastIndex((page, i) => i < here && page.panels), pages.findIndex((page, i) => i > here && page.panels)];
  const link = (i, words) => (i < 0 ? null : element("a", { href: pages[i].feature }, words(labels[i])));
  const slug = (i) => pages[i].feature.split("/saes/")[1].split("/")[0];
  return element("nav", { class: "through", "aria-label": "Through the checkpoints" },
    link(near[0], (label) => `‹ at ${label}`), element("strong", {}, labels[here]), link(near[1], (label) => `at ${label} ›`),
    near.filter((i) => i >= 0).map((i) => element("a", { href: `${pages[here].feature}beside/?other=${slug(i)}` }, `beside itself at ${labels[i]}`)));
}

/** A claim and a mark for each checkpoint: filled where it holds, hollow where not. Grey where it has stopped. */
function claimed({ words, state, sentence, outcomes, figures }, { labels, pages }) {
  const marks = outcomes.map((holds, i) => element("a", {
    class: holds === null ? "untested" : holds ? "holds" : "fails", href: `${pages[i].checkpoint}#claims`,
    title: `${labels[i]}: ${holds === null ? figures[i] || "not tested" : `${holds ? "holds" : "does not hold"}, ${figures[i]}`}`,
    "aria-label": `${labels[i]}: ${holds === null ? "not tested" : holds ? "holds" : "does not hold"}`,
  }));
  return element("li", { class: state }, element("span", { class: "marks" }, marks), " ", element("span", { class: "words" }, words), ` – ${sentence}`);
}
