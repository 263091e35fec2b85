// A checkpoint's page: histograms whose bars lead to the features in them.

import { element } from "../shared/element.js";
import { histogram } from "../shared/histogram.js";
import { percent } from "../shared/text.js";

const { histograms } = JSON.parse(document.getElementById("checkpoint-data").textContent);
const power = (exponent, digits = 1) => percent(10 ** exponent, digits);

document.getElementById("histograms")?.replaceChildren(...histograms.map((each) => {
  const words = each.log10 ? { write: (value) => power(value), writeEdge: (value) => power(value, 3), whole: true } : {};
  const { node } = histogram(each.histogram, { name: each.title, log: each.log10, ...words });
  const chart = element("section", { class: "chart clickable" }, element("h3", {}, each.title), node);
  if (each.list)
    node.querySelectorAll("rect").forEach((bar, i) => {
      if (!each.histogram.counts[i]) return;
      const edge = (n) => (each.log10 ? 10 ** each.histogram.edges[n] : each.histogram.edges[n]);
      const last = i === each.histogram.counts.length - 1; // the last bin has its right edge
      bar.dataset.href = `?list=${each.list}&low=${edge(i)}&high=${last ? edge(i + 1) * 1.000001 + 1e-9 : edge(i + 1)}#features`;
    });
  chart.addEventListener("click", (event) => {
    const bar = event.target.closest("rect[data-href]");
    if (bar) location.assign(bar.dataset.href);
  });
  return chart;
}));
