// What was worked out after the statistics were shown: importance; of dead features, how near they came to firing.

import { fill } from "./figures.js";
import { count, element, figure, percent } from "../shared/text.js";

/** Draws all of it; sections without anything are hidden. */
export function drawAnalysis({ analysis }) {
  fill("importance", importance(analysis?.importance));
  fill("nearest", nearest(analysis?.nearest));
}

function importance(found) {
  if (!found) return null;
  const interval = found.low === null ? "" : ` (95 %: ${figure(found.low)} to ${figure(found.high)})`;
  return element("p", {}, element("strong", {}, figure(found.importance)), ` nats per million tokens${interval}`,
    element("span", { class: "muted" }, `; helps on ${percent(found.helps)} of ${count(found.positives)} random positives`));
}

function nearest(found) {
  if (!found) return null;
  const bos = found.on_bos && element("p", {}, "BOS only: it fires on BOS, which is not counted, and on no counted token.");
  if (found.value === undefined) return bos || null;
  return element("div", {}, bos || "",
    element("p", {}, `It came nearest ${figure(found.gap)} below its threshold: ${figure(found.value)} where more than ${figure(found.threshold)} is needed, of ${count(found.tokens)} tokens.`),
    element("p", { class: "line" }, found.before, element("mark", { title: `row ${found.row}, position ${found.position}` }, found.token),
      element("span", { class: "muted" }, found.after)));
}
