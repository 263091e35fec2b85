// The overview of all features: which figures are drawn, what the pointer meets, what a brush hands to the table.

import { axis, extent } from "./axes.js";
import { scatter, shade } from "./scatter.js";
import { bindKeys } from "../shared/keys.js";
import { watchWork } from "../shared/progress.js";
import { count, element, figure, loneToken, percent, visible } from "../shared/text.js";

const byId = (id) => document.getElementById(id);
const { base, here } = byId("main").dataset;
const about = JSON.parse(byId("overview-data").textContent);
const columns = new Map(about.columns.map((column) => [column.name, column]));
const form = byId("axes");
const points = scatter(byId("points"));
const above = byId("above");
const NONE = "";
const ONLY = 1000; // features that an address of the table names one by one

const arrays = new Map(); // name -> promise of its values
let drawn = null; // {x, y, colour, axes}: what is on the canvas
let listed = null; // 1 for each feature of the list that is followed; null: all
let chosen = -1;
let near = []; // the chosen one's true neighbours
let hovered = -1;
let brush = null; // [x0, y0, x1, y1] in px
let asking = null;

async function array(address, Type) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The site answered ${response.status}.`);
  return new Type(await response.arrayBuffer());
}

function valuesOf(name) {
  if (!arrays.has(name)) {
    const asked = array(`${here}${name}.f32?set=${about.statistics}`, Float32Array);
    asked.catch(() => arrays.delete(name));
    arrays.set(name, asked);
  }
  return arrays.get(name);
}

const onMap = () => form.layout?.value === "map";

/** Places on the map: two arrays, one for each direction. */
function placesOnMap() {
  if (!arrays.has("map"))
    arrays.set("map", array(about.map, Float32Array).then((both) => [both.filter((_, i) => i % 2 === 0), both.filter((_, i) => i % 2 === 1)]));
  arrays.get("map").catch(() => arrays.delete("map"));
  return arrays.get("map");
}

const write = (name, value) => (columns.get(name)?.format === "percent" ? percent(value) : figure(value));

// What is drawn

function fillForm() {
  const asked = new URLSearchParams(location.search);
  const usual = { x: "density", y: "maximum", colour: "nearest" };
  for (const [field, name] of Object.entries(usual)) {
    const select = form[field];
    if (field === "colour") select.append(element("option", { value: NONE }, "none"));
    for (const column of columns.values()) select.append(element("option", { value: column.name, title: column.help }, column.title));
    const wanted = asked.get(field) ?? name;
    select.value = columns.has(wanted) || (field === "colour" && wanted === NONE) ? wanted : name;
  }
  if (form.layout) form.layout.value = asked.get("layout") === "map" ? "map" : "";
  for (const [box, field] of [["xlog", "x"], ["ylog", "y"], ["clog", "colour"]])
    form[box].checked = asked.has(box) ? asked.get(box) === "1" : Boolean(columns.get(form[field].value)?.log);
}

/** The present choice stands in the address, so that it can be sent and returned to. */
function remember() {
  const asked = new URLSearchParams(about.list);
  for (const field of ["x", "y", "colour"]) asked.set(field, form[field].value);
  for (const box of ["xlog", "ylog", "clog"]) asked.set(box, form[box].checked ? "1" : "0");
  if (onMap()) asked.set("layout", "map");
  history.replaceState(null, "", `?${asked}`);
}

async function draw() {
  const mine = (asking = {});
  const [x, y, colour] = ["x", "y", "colour"].map((field) => form[field].value);
  try {
    const places = onMap() ? placesOnMap() : Promise.all([valuesOf(x), valuesOf(y)]);
    const [[xs, ys], shades] = await Promise.all([places, colour ? valuesOf(colour) : null]);
    if (mine !== asking) return;
    drawn = { x, y, colour, xs, ys, shades, map: onMap() };
    byId("about-map").hidden = !drawn.map;
    for (const name of ["x", "xlog", "y", "ylog"]) form[name].closest("label").hidden = drawn.map;
    paint();
  } catch (error) {
    if (mine === asking) byId("counts").replaceChildren(`${error.message} `, element("button", { type: "button", onclick: draw }, "Try again"));
  }
}

function paint() {
  if (!drawn) return;
  const { x, y, colour, xs, ys, shades, map } = drawn;
  const [xlog, ylog] = [!map && form.xlog.checked, !map && form.ylog.checked];
  const [across, up, tones] = [extent(xs, xlog), extent(ys, ylog), shades && extent(shades, form.clog.checked)];
  brush = null;
  drawn.axes = across && up && { x: axis(across, xlog), y: axis(up, ylog) };
  const scale = tones && axis(tones, form.clog.checked);
  const shown = drawn.axes
    ? points.draw({ xs: xs.map(drawn.axes.x.at), ys: ys.map(drawn.axes.y.at), shares: scale && shades.map(scale.at), listed })
    : points.draw({ xs: [], ys: [], shares: null, listed });
  drawAxes(x, y);
  drawScale(colour, tones);
  const left = about.d_sae - shown;
  byId("counts").replaceChildren(`${count(shown)} of ${count(about.d_sae)} features` +
    (left ? `; ${count(left)} have no ${map ? "place" : "such figure"}${xlog || ylog ? ", or none above 0 for a logarithm" : ""}.` : "."));
  drawAbove();
  drawBrushed();
}

function drawAxes(x, y) {
  if (drawn.map) return byId("x-axis").replaceChildren(), byId("y-axis").replaceChildren();
  const along = (name, at, side) => drawn.axes ? at.marks().map((value) => element("span", { style: { [side]: `${100 * at.at(value)}%` } }, write(name, value))) : [];
  byId("x-axis").replaceChildren(...along(x, drawn.axes?.x, "left"), element("span", { class: "title" }, columns.get(x).title));
  byId("y-axis").replaceChildren(...along(y, drawn.axes?.y, "bottom"), element("span", { class: "title" }, columns.get(y).title));
}

/** What the colours mean. */
function drawScale(colour, tones) {
  if (!tones) return byId("scale").replaceChildren();
  const ramp = element("canvas", { class: "ramp", width: 100, height: 1, "aria-hidden": "true" });
  const context = ramp.getContext("2d");
  for (let n = 0; n < 100; n++) {
    context.fillStyle = `rgb(${shade(n / 99, scheme()).join(" ")})`;
    context.fillRect(n, 0, 1, 1);
  }
  byId("scale").replaceChildren(element("div", {}, columns.get(colour).title, form.clog.checked ? ", log" : ""), ramp,
    element("div", { class: "ends" }, element("span", {}, write(colour, tones[0])), element("span", {}, write(colour, tones[1]))));
}

const scheme = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

// What the pointer meets

/** Brush, the chosen point and the one under the pointer, above the points. */
function drawAbove() {
  const ratio = window.devicePixelRatio || 1;
  above.width = Math.round(above.clientWidth * ratio);
  above.height = Math.round(above.clientHeight * ratio);
  const context = above.getContext("2d");
  context.scale(ratio, ratio);
  const ink = getComputedStyle(document.body).color;
  context.strokeStyle = context.fillStyle = ink;
  if (brush) {
    const [x0, y0, x1, y1] = brush;
    context.globalAlpha = 0.1;
    context.fillRect(x0, y0, x1 - x0, y1 - y0);
    context.globalAlpha = 1;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  if (chosen >= 0 && drawn) {
    const from = points.place(chosen);
    context.lineWidth = 1;
    for (const to of near.map(points.place)) {
      if (to[0] !== to[0] || from[0] !== from[0]) continue;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
      context.fillRect(to[0] - 2, to[1] - 2, 4, 4);
    }
  }
  for (const [i, radius] of [[chosen, 7], [hovered, 5]]) {
    if (i < 0) continue;
    const [x, y] = points.place(i);
    if (x !== x) continue;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
    context.fillText(`#${i}`, Math.min(x + 9, above.clientWidth - 40), Math.max(10, y - 6));
  }
}

const at = (event) => {
  const box = above.getBoundingClientRect();
  return [Math.min(box.width, Math.max(0, event.clientX - box.left)), Math.min(box.height, Math.max(0, event.clientY - box.top))];
};
let begun = null;

above.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  begun = at(event);
  if (event.pointerType !== "touch") above.setPointerCapture(event.pointerId);
});
above.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  if (begun && event.pointerType !== "touch" && Math.hypot(x - begun[0], y - begun[1]) > 4) {
    brush = [Math.min(x, begun[0]), Math.min(y, begun[1]), Math.max(x, begun[0]), Math.max(y, begun[1])];
    hovered = -1;
    requestAnimationFrame(drawAbove);
  } else if (!begun) hover(points.nearest(x, y));
});
above.addEventListener("pointerup", (event) => {
  if (!begun) return;
  const moved = Math.hypot(at(event)[0] - begun[0], at(event)[1] - begun[1]) > 4;
  begun = null;
  if (moved && brush) return drawBrushed();
  const found = points.nearest(...at(event));
  if (brush) (brush = null), drawBrushed();
  if (found >= 0 && found === chosen) return location.assign(`${base}${found}/${about.list}`);
  choose(found);
});
above.addEventListener("pointercancel", () => (begun = null));
above.addEventListener("pointerleave", () => begun || hover(-1));

let waiting = 0;
function hover(index) {
  if (index === hovered) return;
  hovered = index;
  requestAnimationFrame(drawAbove);
  clearTimeout(waiting);
  if (index >= 0) waiting = setTimeout(() => tell(index), 80);
  else if (chosen >= 0) tell(chosen);
}

function choose(index) {
  chosen = index;
  near = [];
  drawAbove();
  if (index >= 0) tell(index);
  else byId("chosen").replaceChildren();
}

/** What a feature is: its figures, its strongest line and, for the chosen one, its true neighbours. */
async function tell(index) {
  const { x, y, colour, xs, ys, shades, map } = drawn;
  const rows = [...(map ? [] : [[x, xs], [y, ys]]), ...(colour ? [[colour, shades]] : [])].map(([name, values]) =>
    element("div", {}, `${columns.get(name).title}: ${write(name, values[index])}`));
  const line = element("p", { class: "line" }, "…");
  const beside = element("div", {});
  byId("chosen").replaceChildren(element("h2", {}, element("a", { href: `${base}${index}/${about.list}` }, `#${index}`)), ...rows, line, beside);
  const still = () => line.isConnected;
  try {
    const whole = index === chosen;
    const response = await fetch(whole ? `${base}${index}.json` : `${base}passing.json?of=${index}`);
    const answer = await response.json();
    const data = whole ? answer : answer.features?.[0];
    if (!still()) return;
    const [top] = data?.sequences?.top ?? [];
    line.replaceChildren(...(top ? top.tokens.map((token, p) => (p === top.position ? element("strong", {}, visible(token)) : visible(token))) : [data?.dead ? "Dead: it fires on none of these tokens." : "No statistics yet."]));
    if (whole && data?.neighbours) {
      beside.replaceChildren(...neighbours(index, data));
      near = data.neighbours.slice(0, 8).map(({ feature }) => feature);
      drawAbove();
    }
  } catch {
    if (still()) line.textContent = "The site does not answer.";
  }
}

/** Those whose decoders are truly nearest, wherever they are drawn. */
function neighbours(index, { neighbours: found, previews }) {
  return [element("h2", {}, "Nearest decoders"), ...found.slice(0, 8).map(({ feature, cosine }) => element("div", {},
    element("a", { href: `${base}${feature}/` }, `#${feature}`), ` ${figure(cosine, 3)} `, previews[feature] && loneToken(previews[feature].top_token), " ",
    element("a", { href: `${base}${index}/compare/?with=${feature}`, class: "muted" }, "beside")))];
}

// What a brush hands on

function drawBrushed() {
  const place = byId("brushed");
  if (!brush || !drawn.axes) return place.replaceChildren();
  const inside = points.within(brush);
  const { clientWidth: wide, clientHeight: high } = above;
  const ranges = [["x", brush[0] / wide, brush[2] / wide], ["y", 1 - brush[3] / high, 1 - brush[1] / high]]
    .map(([side, low, top]) => `${drawn[side]}:${Number(drawn.axes[side].value(low).toPrecision(6))}..${Number(drawn.axes[side].value(top).toPrecision(6))}`);
  const asked = new URLSearchParams(about.list);
  if (drawn.map) asked.set("only", inside.join(","));
  else for (const range of ranges) asked.append("range", range);
  if (drawn.map && inside.length > ONLY)
    return place.replaceChildren(element("h2", {}, "Brushed"), element("p", {}, `${count(inside.length)} features: more than the ${count(ONLY)} that the table takes from a map. Drag over fewer.`));
  place.replaceChildren(element("h2", {}, "Brushed"), element("p", {}, `${count(inside.length)} features. `, inside.length ? element("a", { href: `${base}?${asked}` }, "Show them in the table") : "", " ",
    element("button", { type: "button", class: "quiet", onclick: clearBrush }, "Clear")));
}

function clearBrush() {
  brush = null;
  drawAbove();
  drawBrushed();
}

// Controls

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", ({ target }) => {
  if (target.name === "find") {
    const index = target.value === "" ? -1 : Math.min(about.d_sae - 1, Math.max(0, Math.round(Number(target.value))));
    return choose(Number.isFinite(index) ? index : -1);
  }
  const log = { x: "xlog", y: "ylog", colour: "clog" }[target.name];
  if (log) form[log].checked = Boolean(columns.get(target.value)?.log);
  remember();
  draw();
});
bindKeys([
  { keys: ["Escape"], label: "Esc", does: "let go of brush and choice", run: () => (clearBrush(), choose(-1)) },
]);
new ResizeObserver(() => paint()).observe(byId("plot"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint());

if (byId("mapping")) watchWork(byId("mapping"), { done: () => location.reload() });
fillForm();
if (about.words)
  listed = await array(`${here}listed.u32${about.list}`, Uint32Array).then((indices) => {
    const which = new Uint8Array(about.d_sae);
    for (const index of indices) which[index] = 1;
    return which;
  }).catch(() => null);
draw();
