// How is a histogram drawn, and where on it lies a value?

import { count, element } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Round numbers within [low, high], about `wanted` of them. */
export function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

const tidy = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

/** Edges of equal bins, each to about a tenth of a bin: so that none reads as another. */
function edgeWriter(edges) {
  const width = (edges[edges.length - 1] - edges[0]) / (edges.length - 1) || 1;
  const decimals = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(width))));
  return (value) => String(Number(value.toFixed(decimals))).replace("-", "−");
}

/**
 * A histogram `{edges, counts}` as a node that fits its container. `hue(centre)` gives the class of a bar
 * ("orange", "red", "blue"); `log`: height by log(1 + count); `height` in px; `name` is read to screen readers;
 * `write(value)` words a value of the axis, `writeEdge(value)` an edge of a bin; `whole` keeps ticks to whole numbers.
 * Returns `{node, mark(value, text), clear()}`: a line at a value, and its removal.
 */
export function histogram({ edges, counts }, { hue = () => "orange", log = false, height = 96, name = "Histogram", write = tidy, writeEdge = edgeWriter(edges), whole = false } = {}) {
  const low = edges[0];
  const span = edges[edges.length - 1] - low || 1;
  const along = (value) => ((value - low) / span) * 100;
  const most = Math.max(1, ...counts);
  const tall = (n) => (log ? Math.log1p(n) / Math.log1p(most) : n / most);
  const outlines = new Map(); // hue -> the bars of that colour, one path: fifty nodes are most of the work
  counts.forEach((n, i) => {
    if (!n) return;
    const name = hue((edges[i] + edges[i + 1]) / 2);
    const [left, width, up] = [along(edges[i]) + 0.1, Math.max(0.2, along(edges[i + 1]) - along(edges[i]) - 0.2), Math.max(1.2, 100 * tall(n))]; // one is seen too
    outlines.set(name, `${outlines.get(name) ?? ""}M${left.toFixed(2)} 100v${-up.toFixed(2)}h${width.toFixed(2)}v${up.toFixed(2)}z`);
  });
  const told = svg("title", {});
  const drawn = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" }, told,
    ...[...outlines].map(([name, d]) => svg("path", { class: name, d })));
  drawn.addEventListener("pointermove", ({ clientX }) => { // the title of the bin that is pointed at, however low its bar
    const { left, width } = drawn.getBoundingClientRect();
    const value = low + ((clientX - left) / width) * span;
    const i = Math.min(counts.length - 1, Math.max(0, edges.findLastIndex((edge) => edge <= value)));
    const title = `${writeEdge(edges[i])} to ${writeEdge(edges[i + 1])}: ${count(counts[i])}`;
    if (told.textContent !== title) told.textContent = title;
  });
  const line = element("div", { class: "mark", hidden: true }, element("span", {}));
  const axis = ticks(low, low + span).filter((value) => !whole || Number.isInteger(value)).map((value) =>
    element("span", { style: { left: `${along(value)}%` }, class: along(value) < 4 ? "first" : along(value) > 94 ? "last" : "" },
      write(value)));
  const node = element("div", { class: "histogram", role: "img", "aria-label": `${name}, ${write(low)} to ${write(low + span)}` },
    element("div", { class: "bars", style: { height: `${height}px` } },
      drawn,
      element("span", { class: "most" }, `peak ${count(most)}`), line),
    element("div", { class: "axis" }, axis));
  return {
    node,
    mark(value, text = "") {
      if (value === null || value === undefined || Number.isNaN(value)) return this.clear();
      const at = Math.min(100, Math.max(0, along(value)));
      line.style.left = `${at}%`;
      line.classList.toggle("late", at > 50);
      line.firstChild.textContent = text;
      line.dataset.value = value;
      line.hidden = false;
    },
    clear() {
      line.hidden = true;
    },
  };
}

/** Class of a logit's bar: red below zero, blue above. */
export const logitHue = (centre) => (centre < 0 ? "red" : "blue");
