// Examples on which two features are strong together.

import { effectScale, sequenceRow } from "../shared/sequences.js";
import { element, figure } from "../shared/text.js";

const { columns, shared, maximum } = JSON.parse(document.getElementById("beside-data").textContent);
const [a, b] = columns.map(({ feature }) => feature);
document.getElementById("shared")?.querySelector(".fill").replaceChildren(...shared.map((sequence) =>
  element("div", {}, sequenceRow(sequence, { maximum, scale: effectScale(shared) }),
    element("p", { class: "muted" }, `#${a} ${figure(sequence.activation)}, #${b} ${figure(sequence.other)}`))));
if (shared.length) document.getElementById("shared").hidden = false;
