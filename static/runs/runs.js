// All runs: their last checkpoints against each other.

import { COLOURS, scatter } from "./chart.js";

const { sweep } = JSON.parse(document.getElementById("runs-data").textContent);
const points = sweep.filter((each) => each.l0 !== null && each.loss_recovered !== null).map((each, n) => ({
  name: each.name, label: each.label, url: each.url, x: each.l0, y: each.loss_recovered, margin: each.loss_recovered_margin, explained: each.explained_variance, colour: COLOURS[n % COLOURS.length],
}));
if (points.length > 1) {
  document.getElementById("sweep-chart").replaceChildren(scatter(points));
  document.getElementById("sweep").hidden = false;
}
