// A run's page: its figures over steps, those of other runs laid beside them, and its densities.

import { COLOURS, heat, lines } from "./chart.js";
import { trainerLog } from "./log.js";
import { element } from "../shared/element.js";
import { recall, remember } from "../shared/memory.js";
import { followWork } from "../shared/progress.js";
import { count, figure, percent } from "../shared/text.js";

const { runs, claims } = JSON.parse(document.getElementById("run-data").textContent);
const place = (id) => document.getElementById(id);
const SCALES = { linear: "steps as they are", log: "logarithm of steps" };
let scale = recall("steps", "linear");

const writer = (share) => (share ? (value, digits = 3) => percent(value, digits) : (value, digits = 3) => figure(value, digits));

function series(run, n, curve) {
  return { name: runs.length > 1 ? run.name : "", colour: COLOURS[n % COLOURS.length], x: run.x, labels: run.labels, urls: run.urls, warned: run.warned, ...curve };
}

const trainer = runs[0].x.length
  ? trainerLog(place("trainer"), place("trainer-charts"), place("trainer").dataset.log, { span: [Math.min(...runs[0].x), Math.max(...runs[0].x)], unit: runs[0].unit }) : null;

function draw() {
  const log = scale === "log";
  trainer?.draw(log);
  const unit = runs[0].unit;
  const charts = runs[0].curves.map((curve, which) => lines({
    title: curve.title, meaning: curve.meaning, write: writer(curve.share), log, unit, least: curve.share ? 0.01 : 1, faults: runs[0].faults,
    series: runs.map((run, n) => series(run, n, run.curves[which])),
  }));
  const words = { born: "Born", died: "Died", revived: "Came back" };
  for (const [name, title] of Object.entries(words))
    charts.push(lines({
      title, meaning: "features, since the checkpoint before", write: count, log, unit,
      series: runs.map((run, n) => series(run, n, { values: run.turnover[name], margins: [], urls: run.urls.map((url) => `${url}?list=${name}#features`) })),
    }));
  if (claims.held.some((value) => value !== null))
    charts.push(lines({
      title: "Claims that hold", meaning: `of ${count(Math.max(...claims.tested))} that readers and findings make of its features`, write: count, log, unit,
      series: [series(runs[0], 0, { name: "", values: claims.held, margins: [], urls: runs[0].urls.map((url) => `${url}#claims`), warned: [] })],
    }));
  place("charts").replaceChildren(...charts);
  place("scale").replaceChildren(...Object.entries(SCALES).map(([name, title]) => element("button", {
    type: "button", "aria-pressed": String(name === scale), onclick: () => { remember("steps", (scale = name)); draw(); } }, title)));
}

const { edges, columns } = runs[0].densities;
if (columns.some((column) => column.length))
  place("heat").replaceChildren(heat({ columns, labels: runs[0].labels, steps: runs[0].x, edges,
    go: (column, bin) => location.assign(`${runs[0].urls[column]}?list=density&low=${10 ** edges[bin]}&high=${10 ** edges[bin + 1]}#features`) }));
if (runs.length > 1)
  place("legend").replaceChildren(...runs.map((run, n) => element("span", { class: "key", style: { "--colour": COLOURS[n % COLOURS.length] } }, element("i", {}), run.name)));
if (runs[0].x.length) draw();
for (const panel of document.querySelectorAll(".progress-panel")) followWork(panel);
