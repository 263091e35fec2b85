// How is a figure drawn over steps? Lines and dots for some runs, a heat map, a scatter; each dot leads somewhere.

import { ticks } from "../shared/histogram.js";
import { element } from "../shared/element.js";
import { count, figure, percent } from "../shared/text.js";

const MANY = 40; // dots of a chart, from which they are drawn smaller
const SVG = "http://www.w3.org/2000/svg";
export const COLOURS = ["var(--orange)", "var(--helps)", "var(--hurts)", "light-dark(#1b7f4b, #57c98a)", "light-dark(#7a3db8, #c08cf0)", "light-dark(#8a6d00, #d6b94a)", "light-dark(#006d77, #5cc6cf)", "var(--muted)"];

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Steps in few characters: 3600384 -> "3.6M". */
export function short(step) {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]])
    if (Math.abs(step) >= size) return `${Number((step / size).toPrecision(3))}${letter}`;
  return String(Number(step.toPrecision(3)));
}

/** Where values lie between 0 and 1; by their logarithm where asked and possible. */
function scale(low, high, log = false) {
  if (!log || low <= 0) {
    const span = high - low || 1;
    return { at: (value) => (value - low) / span, marks: (wanted) => ticks(low, high, wanted) };
  }
  const [from, span] = [Math.log10(low), Math.log10(high) - Math.log10(low) || 1];
  const marks = () => {
    const found = [];
    for (let power = Math.ceil(from - 1e-9); power <= from + span + 1e-9; power++) found.push(10 ** power);
    return found.length > 1 ? found : [low, high];
  };
  return { at: (value) => (Math.log10(Math.max(value, low)) - from) / span, marks };
}

const present = (value) => value !== null && value !== undefined;

/** From the lowest to the highest value, intervals among them where they are no wider than a few times the values. */
function span(values, margins = [], least = 1) {
  const plain = values.filter(present);
  if (!plain.length) return null;
  let [low, high] = [Math.min(...plain), Math.max(...plain)];
  const room = 2 * (high - low) || Math.abs(high) * 0.1 || 1;
  values.forEach((value, i) => {
    if (!present(value) || !present(margins[i])) return;
    low = Math.min(low, Math.max(value - margins[i], low - room));
    high = Math.max(high, Math.min(value + margins[i], high + room));
  });
  const edge = (high - low) * 0.06 || Math.abs(high) * 0.05 || least;
  return [low >= 0 ? Math.max(0, low - edge) : low - edge, high + edge];
}

/**
 * One figure of some series over steps. A series: `{name, colour, x, values, margins, labels, urls, warned}`.
 * `write(value, digits)` words a value; `log`: steps on a logarithmic axis; `here`: a step that is marked;
 * `span`: steps that the axis holds at least; `plain` series have no dots.
 */
export function lines({ title, meaning = "", series, write = (v) => figure(v, 3), log = false, here = null, height = 120, unit = "", least = 1, span: ends = null, faults = [] }) {
  const values = series.flatMap((each) => each.values);
  const range = span(values, series.flatMap((each) => each.values.map((_, i) => each.margins?.[i])), least);
  const head = [element("h3", {}, title), element("p", { class: "meaning" }, meaning)];
  if (!range) return element("div", { class: "chart" }, head, element("p", { class: "muted" }, "not known of any checkpoint yet"));
  const steps = [...(ends ?? []), ...series.flatMap((each) => each.x), ...faults.map((each) => each.x)];
  const along = scale(Math.min(...steps), Math.max(...steps), log);
  const up = scale(...range);
  const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const mark of up.marks(3)) picture.append(svg("line", { class: "grid", x1: 0, x2: 100, y1: 100 - 100 * up.at(mark), y2: 100 - 100 * up.at(mark) }));
  if (present(here)) picture.append(svg("line", { class: "here", x1: 100 * along.at(here), x2: 100 * along.at(here), y1: 0, y2: 100 }));
  const dots = faults.map(({ x, label, says, url }) => {
    const at = 100 * along.at(x); // what could not be read: a line over the step, marked at its top
    picture.append(svg("line", { class: "fault", x1: at, x2: at, y1: 0, y2: 100 }));
    return dot({ name: "", colour: "var(--hurts)", urls: [url], warned: [[says]] }, 0, at, 0, label);
  });
  for (const each of series) {
    const points = each.x.map((x, i) => [100 * along.at(x), each.values[i], i]).filter(([, value]) => present(value));
    for (const [x, value, i] of points) {
      const margin = each.margins?.[i];
      const clip = (v) => Math.min(100, Math.max(0, 100 - 100 * up.at(v)));
      if (present(margin)) picture.append(svg("line", { class: "range", stroke: each.colour, x1: x, x2: x, y1: clip(value + margin), y2: clip(value - margin) }));
      if (!each.plain) dots.push(dot(each, i, x, 100 - 100 * up.at(value), `${each.labels[i]}: ${write(value)}${present(margin) ? ` ± ${write(margin)}` : ""}`));
    }
    const path = points.map(([x, value]) => `${x},${100 - 100 * up.at(value)}`).join(" ");
    picture.append(svg("polyline", { class: "line", stroke: each.colour, points: path }));
  }
  const field = element("div", { class: dots.length > MANY ? "field many" : "field", style: { height: `${height}px` } }, picture, dots);
  tips(field);
  return element("div", { class: "chart", role: "group", "aria-label": title }, head, frame(field, up.marks(3), up, write, along, unit));
}

function dot(series, i, x, y, said) {
  const warned = series.warned?.[i] ?? [];
  const words = [series.name, said, ...warned].filter(Boolean).join(" · ");
  const url = series.urls?.[i];
  return element(url ? "a" : "span", {
    class: `dot${warned.length ? " warned" : ""}${series.chosen === i ? " chosen" : ""}`, href: url, "data-tip": words, "aria-label": words,
    style: { left: `${x}%`, top: `${y}%`, "--colour": series.colour },
  });
}

/** Marks of an axis with as many digits as tell them apart. */
function told(marks, write) {
  const tries = [3, 4, 5, 6, 7, 8].map((digits) => marks.map((mark) => write(mark || 0, digits)));
  return tries.find((texts) => new Set(texts).size === texts.length) ?? tries[0];
}

/** A field with its axes: values upwards, steps along. */
function frame(field, marks, up, write, along, unit) {
  const side = element("div", { class: "up" }, marks.map((mark, i) => element("span", { style: { top: `${100 - 100 * up.at(mark)}%` } }, told(marks, write)[i])));
  const marked = along.marks(4).map((step) => [step, 100 * along.at(step)]).filter(([, at]) => at >= -0.1 && at <= 100.1);
  const last = marked.length - 1;
  // The unit stands at the last step; what it would lie over is left out.
  const steps = marked.filter(([, at], i) => i === last || !unit || marked[last][1] - at > 34);
  const below = element("div", { class: "along" }, steps.map(([step, at], i) => element("span", {
    style: { left: `${at}%` }, class: at < 4 ? "first" : at > 86 ? "last" : "" }, i === steps.length - 1 && unit ? `${short(step)} ${unit}` : short(step))));
  return element("div", { class: "plot" }, side, field, below);
}

/** What a dot says, beside it, while it is pointed at or has the focus. */
function tips(field) {
  const tip = element("div", { class: "tip", hidden: true });
  field.append(tip);
  const show = (event) => {
    const text = event.target.dataset?.tip;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const [left, top] = [parseFloat(event.target.style.left), parseFloat(event.target.style.top)];
    Object.assign(tip.style, { left: left > 50 ? "auto" : `${left}%`, right: left > 50 ? `${100 - left}%` : "auto", top: `calc(${top}% ${top > 30 ? "- 28px" : "+ 12px"})` });
  };
  for (const name of ["mouseover", "focusin"]) field.addEventListener(name, show);
  for (const name of ["mouseleave", "focusout"]) field.addEventListener(name, () => (tip.hidden = true));
}

/** Points `{name, x, y, margin, label, url, colour}` against each other. */
export function scatter(points, { height = 260, writeX = (v) => figure(v, 3), writeY = percent } = {}) {
  const x = scale(...span(points.map((p) => p.x)));
  const range = span(points.map((p) => p.y), points.map((p) => p.margin));
  const y = scale(...range);
  const picture = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  const clip = (v) => Math.min(100, Math.max(0, 100 - 100 * y.at(v)));
  const dots = points.map((p) => {
    if (present(p.margin)) picture.append(svg("line", { class: "range", stroke: p.colour, x1: 100 * x.at(p.x), x2: 100 * x.at(p.x), y1: clip(p.y + p.margin), y2: clip(p.y - p.margin) }));
    const series = { name: p.name, colour: p.colour, urls: [p.url], warned: [] };
    return dot(series, 0, 100 * x.at(p.x), 100 - 100 * y.at(p.y), `${p.label}: L0 ${writeX(p.x)}, recovered ${writeY(p.y)}, explained ${percent(p.explained)}`);
  });
  const field = element("div", { class: "field", style: { height: `${height}px` } }, picture, dots);
  tips(field);
  const side = element("div", { class: "up" }, y.marks(4).map((mark) => element("span", { style: { top: `${100 - 100 * y.at(mark)}%` } }, writeY(mark))));
  const below = element("div", { class: "along" }, x.marks(5).map((mark) => element("span", { style: { left: `${100 * x.at(mark)}%` } }, writeX(mark))));
  return element("div", { class: "plot" }, side, field, below);
}

/**
 * Histograms beside each other, a column each: `columns` of counts between `edges` (powers of ten), the lowest at the
 * bottom. `go(column, bin)` is called for a click. Drawn on a canvas: a run may have thousands of cells.
 */
export function heat({ columns, labels, steps = null, edges, height = 220, go }) {
  const bins = edges.length - 1;
  const filled = columns.map((column) => (column.length === bins ? column : new Array(bins).fill(0)));
  const used = edges.findIndex((_, bin) => filled.some((column) => column[bin])); // empty bins below all are left out
  const first = Math.max(0, used);
  const rows = bins - first;
  const canvas = element("canvas", { width: columns.length, height: rows, role: "img", "aria-label": "Densities of features at each checkpoint" });
  const most = Math.max(1, ...filled.flat());
  const picture = canvas.getContext("2d");
  const image = picture.createImageData(columns.length, rows);
  filled.forEach((column, x) => {
    for (let bin = first; bin < bins; bin++) {
      const at = 4 * ((bins - 1 - bin) * columns.length + x); // the highest density in the first row of pixels
      image.data.set([255, 140, 0, Math.round((255 * Math.log1p(column[bin])) / Math.log1p(most))], at);
    }
  });
  picture.putImageData(image, 0, 0);
  const tip = element("div", { class: "tip", hidden: true });
  const field = element("div", { class: "field", style: { height: `${height}px` } }, canvas, tip);
  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.min(columns.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * columns.length)));
    return [column, bins - 1 - Math.min(rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * rows)))];
  };
  canvas.addEventListener("click", (event) => go(...cell(event)));
  canvas.addEventListener("mousemove", (event) => {
    const [column, bin] = cell(event);
    tip.hidden = false;
    tip.textContent = `${labels[column]}: ${count(filled[column][bin])} features from ${percent(10 ** edges[bin], 2)} to ${percent(10 ** edges[bin + 1], 2)}`;
    const right = column > columns.length / 2;
    Object.assign(tip.style, { left: right ? "auto" : `${(100 * (column + 1)) / columns.length}%`, right: right ? `${100 - (100 * column) / columns.length}%` : "auto", top: `${(100 * (bins - 1 - bin)) / rows}%` });
  });
  canvas.addEventListener("mouseleave", () => (tip.hidden = true));
  const whole = edges.map((edge, bin) => [edge, bin]).filter(([edge, bin]) => Number.isInteger(edge) && bin >= first);
  const side = element("div", { class: "up" }, whole.map(([edge, bin]) => element("span", { style: { top: `${(100 * (bins - bin)) / rows}%` } }, percent(10 ** edge, 1))));
  const shown = [0, Math.floor(columns.length / 2), columns.length - 1].filter((n, i, all) => all.indexOf(n) === i && n >= 0);
  const below = element("div", { class: "along" }, shown.map((n) => element("span", { style: { left: `${(100 * (n + 0.5)) / columns.length}%` }, class: n === columns.length - 1 && columns.length > 8 ? "last" : n === 0 && columns.length > 8 ? "first" : "" }, steps ? short(steps[n]) : labels[n])));
  return element("div", { class: "plot" }, side, field, below);
}
