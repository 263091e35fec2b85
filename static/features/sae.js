// The overview of an SAE: its densities drawn, and the computation's progress.

import { histogram } from "../shared/histogram.js";
import { bindKeys } from "../shared/keys.js";
import { followWork } from "../shared/progress.js";

const data = JSON.parse(document.getElementById("sae-data").textContent);
const place = document.getElementById("densities");
const power = (exponent, digits = 1) => `${Number((100 * 10 ** exponent).toPrecision(digits))} %`;
if (place && data.density_histogram)
  place.replaceChildren(histogram(data.density_histogram, { name: "Features by density", write: (exponent) => power(exponent), writeEdge: (exponent) => power(exponent, 3), whole: true }).node);

for (const panel of document.querySelectorAll(".progress-panel")) followWork(panel);

const door = (ending) => document.querySelector(`.doors a[href$="features/${ending}"]`);
bindKeys([
  { keys: ["r"], label: "r", does: "a random feature", run: () => door("random/")?.click() },
  { keys: ["/"], label: "/", does: "search the table", run: () => door("") && location.assign(`${door("").href}#search`) },
]);
