// Hits, misses and false alarms of one feature with a pattern, drawn as examples are.

import { bindKeys } from "../shared/keys.js";
import { sequenceRow, tokenKeys } from "../shared/sequences.js";
import { count, element } from "../shared/text.js";
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
    feature[kind].length ? feature[kind].map(draw) : element("p", { class: "muted" }, none))));
  tokenCards(groups, () => ({ data: { ...feature, population }, marks: {} }));
  tokenKeys(groups);
}

bindKeys([
  { keys: ["/"], label: "/", does: "write a pattern", run: () => (search.focus(), search.select()) },
]);
