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
  if (each.list) brush(chart, each);
  return chart;
}));

/** Drag over bars: the features in all of them. */
function brush(chart, { list, histogram: { edges }, log10 }) {
  const bars = [...chart.querySelectorAll("rect")];
  const edge = (n) => (log10 ? 10 ** edges[n] : edges[n]);
  const under = (x) => {
    const at = bars.findIndex((bar) => x < bar.getBoundingClientRect().right);
    return at < 0 ? bars.length - 1 : at;
  };
  let from = null;
  const range = (x) => [from, under(x)].sort((a, b) => a - b);
  chart.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && event.pointerType === "mouse" && event.target.closest("svg")) from = under(event.clientX);
  });
  window.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const [first, last] = range(event.clientX);
    bars.forEach((bar, i) => bar.classList.toggle("brushed", first !== last && i >= first && i <= last));
  });
  window.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [first, last] = range(event.clientX);
    from = null;
    if (first === last) return; // a click: the bar itself leads there
    const end = last === edges.length - 2 ? edge(last + 1) * 1.000001 + 1e-9 : edge(last + 1);
    location.assign(`?list=${list}&low=${edge(first)}&high=${end}#features`);
  });
}
