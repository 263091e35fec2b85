// The trainer's own log: its curves are listed, and a click lays one beside ours, over the same steps.

import { COLOURS, lines } from "./chart.js";
import { element } from "../shared/element.js";
import { figure } from "../shared/text.js";

/** `trainerLog(place, charts, address, span)`; `span` is [first, last] step of our charts. `{draw(log)}` draws what is chosen. */
export function trainerLog(place, charts, address, { span, unit }) {
  const chosen = new Map(); // "file name" -> curve
  let log = false;

  function draw(isLog) {
    log = isLog;
    charts.replaceChildren(...[...chosen.values()].map((curve) => lines({
      title: curve.name, meaning: [`the trainer's, of ${curve.file}`, curve.note].filter(Boolean).join("; "), log, unit, span,
      write: (value, digits = 3) => figure(value, digits),
      series: [{ name: "", colour: COLOURS[1], x: curve.x, values: curve.values, margins: [], labels: curve.x.map((x) => figure(x, 6)), urls: [], warned: [], plain: curve.x.length > 60 }],
    })));
  }

  async function toggle(button, file, name) {
    const key = JSON.stringify([file, name]);
    if (chosen.delete(key)) return button.setAttribute("aria-pressed", "false"), draw(log);
    const response = await fetch(`${address}?${new URLSearchParams({ file, name })}`);
    if (!response.ok) return;
    chosen.set(key, await response.json());
    button.setAttribute("aria-pressed", "true");
    draw(log);
  }

  fetch(address).then((response) => (response.ok ? response.json() : { logs: [] })).then(({ logs }) => {
    if (!logs.length) return;
    place.hidden = false;
    place.append(...logs.map(({ file, curves, notes }) => element("div", {},
      element("h3", {}, file), notes.map((note) => element("p", { class: "muted" }, note)),
      element("p", { class: "choices" }, curves.map((name) => {
        const button = element("button", { type: "button", "aria-pressed": "false", onclick: () => toggle(button, file, name) }, name);
        return button;
      })))));
  });
  return { draw };
}
