// Which vocabulary entries does a feature push up or down?

import { fill } from "./colours.js";
import { column, element, loneToken } from "./text.js";

/** The largest |value| of two lists of logits: the value of a chip's full colour. */
export const logitScale = ({ positive, negative }) =>
  Math.max(1e-9, ...[...positive, ...negative].map(({ value }) => Math.abs(value)));

/** A token as a chip coloured by its value: blue raised, red lowered. */
export const chip = ({ token, text, value }, scale) =>
  element("span", { class: "chip", title: `token ${token}`, style: fill((0.85 * Math.abs(value)) / scale, value < 0 ? "red" : "blue") },
    loneToken(text));

/** A table of `[{token, text, value}]`, `most` of them, chips scaled to `scale` (see logitScale). */
export function logitTable(entries, scale, most = 10) {
  return element("table", { class: "logits" }, element("tbody", {},
    entries.slice(0, most).map((entry) => element("tr", {},
      element("td", {}, chip(entry, scale)),
      element("td", { class: "number" }, column(entry.value))))));
}
