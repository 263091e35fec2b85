// Hits, misses and false alarms of one feature with a pattern, drawn as examples are.

import { bindKeys } from "../shared/keys.js";
import { oneStop, sequenceRow, tokenKeys } from "../shared/sequences.js";
import { count, element } from "../shared/text.js";
import { claimForm } from "./claims.js";
import { drawInstead, nearMisses } from "./misses.js";
import { tokenCards } from "./examples.js";

const KINDS = [
  ["hits", "Hits", "drawn evenly", "It is active on no token on which the pattern holds."],
  ["misses", "Misses", "drawn evenly", "It misses none."],
  ["false_alarms", "False alarms", "the strongest", "It is active nowhere else."],
];
const search = document.getElementById("search");
const data = document.getElementById("ask-data");

if (data) {
  const { feature, population } = JSON.parse(data.textContent);
  const groups = document.querySelector("#read .groups");
  const draw = (sequence) => sequenceRow(sequence, { maximum: feature.maximum || 1, scale: 1 });
  groups.replaceChildren(...KINDS.map(([kind, name, how, none]) => element("section", { class: "group" },
    element("h3", {}, `${name}: ${count(feature.counts[kind])}`, feature.counts[kind] > feature[kind].length &&
      element("span", { class: "remark" }, `${feature[kind].length} of them, ${how}`)),
    feature[kind].length ? feature[kind].map(draw) : element("p", { class: "muted" }, none),
    kind === "misses" && feature.misses.length ? drawInstead(feature, groups.dataset.base) : null)));
  tokenCards(groups, () => ({ data: { ...feature, population }, marks: {} }));
  tokenKeys(groups);
  for (const group of groups.children) oneStop(group);
  if (feature.misses.length) nearMisses(groups, feature);
}

const claiming = document.getElementById("claim");
if (claiming) {
  const said = claimForm(claiming, () => said.replaceChildren("Claimed. ", element("a", { href: `../features/${claiming.dataset.feature}/#claims` }, "On the feature’s page")),
    () => Object.entries({ q: claiming.q.value, from: claiming.from.value, note: claiming.note.value }));
}

/** Looks for the pattern first, showing how far that is; then the page answers at once. On a long text alone. */
async function look(form) {
  const panel = document.getElementById("looking");
  const query = new URLSearchParams(new FormData(form));
  const stop = new AbortController();
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Text looked through" });
  const said = element("p", {}, "Looking for the pattern …");
  panel.replaceChildren(said, bar, element("p", {}, element("button", { type: "button", onclick: () => stop.abort() }, "Cancel")));
  panel.hidden = false;
  try {
    for await (const line of lines(await fetch(`${form.dataset.progress}?${query}`, { signal: stop.signal }))) {
      if (line.place) said.textContent = `Others look for patterns: place ${line.place} in line.`;
      if (line.place) continue;
      if (!line.total) break; // ready, or an error that the page will point at
      bar.max = line.total;
      bar.value = line.done;
      said.textContent = `Looking for the pattern: ${count(line.done)} of ${count(line.total)} tokens.`;
    }
    location.assign(`?${query}`);
  } catch (error) {
    panel.replaceChildren(element("p", {}, error.name === "AbortError" ? "Cancelled." : `The site does not answer: ${error.message}`));
  }
}

/** The lines of JSON of a response, as they come. */
async function* lines(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const whole = (rest + part.value).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

const form = document.getElementById("ask");
if (form.dataset.progress) form.addEventListener("submit", (event) => (event.preventDefault(), look(form)));

bindKeys([
  { keys: ["/"], label: "/", does: "write a pattern", run: () => (search.focus(), search.select()) },
]);
