// Which features act anywhere in the prompt? Tokens across, features down.

import { activationFill } from "../shared/colours.js";
import { featureUrl } from "../shared/links.js";
import { element, figure, visible } from "../shared/text.js";

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const said = new WeakMap(); // cell -> what it says

/** What the card of a cell says. */
export const cellCard = (cell) => said.get(cell) ?? null;

/**
 * The overview of an answer as a grid of one tab stop; a click on a cell or column, or Enter, calls
 * `choose([position])`. Returns `{node, choose(positions), point(position), focused(), focus(at)}`; point lights a token's column, focused
 * tells which cell has the focus, `[feature, position]`, or null.
 */
export function heatmap({ tokens, special, positions, overview }, features, choose) {
  const columns = tokens.map((text, p) => ({ text: visible(text), p })).filter(({ p }) => !special[p]);
  const top = element("tr", {}, element("th", { scope: "col" }, "Feature"),
    columns.map(({ text, p }) => element("th", { scope: "col", class: mark("column", positions, p), "data-at": p },
      element("span", {}, text.trim() || "␣"))));
  const cells = overview.features.map((feature, at) =>
    columns.map(({ text, p }) => cell(feature, overview.activations[at][p], overview.maxima[at], text, p, positions)));
  const rows = overview.features.map((feature, at) => element("tr", { "data-feature": feature },
    element("th", { scope: "row" }, element("a", { href: featureUrl(features, feature) }, `#${feature}`)), cells[at]));
  const node = element("div", { class: "heat-scroll" },
    element("table", { class: "heat", role: "grid", "aria-label": "Tokens and features" }, element("thead", {}, top), element("tbody", {}, rows)));
  const place = (target) => {
    const row = cells.findIndex((among) => among.includes(target));
    return row < 0 ? null : [row, cells[row].indexOf(target)];
  };
  let stop = cells[0]?.[Math.max(0, columns.findIndex(({ p }) => positions.includes(p)))];
  if (stop) stop.tabIndex = 0;

  node.addEventListener("click", (event) => {
    const at = event.target.closest("[data-at]")?.dataset.at;
    if (at !== undefined) choose([Number(at)]);
  });
  node.addEventListener("focusin", ({ target }) => {
    if (!target.matches(".cell")) return;
    stop.tabIndex = -1;
    stop = target;
    stop.tabIndex = 0;
  });
  node.addEventListener("keydown", (event) => {
    const here = place(event.target);
    if (!here) return;
    const [down, along] = STEPS[event.key] ?? [];
    if (down === undefined && !["Enter", " "].includes(event.key)) return;
    event.preventDefault(); // arrows are the page's keys elsewhere
    event.stopPropagation();
    if (down === undefined) return choose([columns[here[1]].p]);
    cells[here[0] + down]?.[here[1] + along]?.focus();
  });
  return {
    node,
    /** Other tokens are asked about; all else is as it was. */
    choose(chosen) {
      for (const found of node.querySelectorAll("[data-at]")) found.classList.toggle("chosen", chosen.includes(Number(found.dataset.at)));
      const at = columns.findIndex(({ p }) => chosen.includes(p));
      if (!stop || at < 0 || place(document.activeElement)) return;
      stop.tabIndex = -1;
      stop = cells[0][at];
      stop.tabIndex = 0;
    },
    point(position) {
      for (const found of node.querySelectorAll("[data-at]"))
        found.classList.toggle("pointed", Number(found.dataset.at) === position);
    },
    focused() {
      const here = place(document.activeElement);
      return here && [overview.features[here[0]], columns[here[1]].p];
    },
    focus([feature, position]) {
      const row = Math.max(0, overview.features.indexOf(feature));
      cells[row]?.[columns.findIndex(({ p }) => p === position)]?.focus();
    },
  };
}

const mark = (name, positions, p) => name + (positions.includes(p) ? " chosen" : "");

function cell(feature, activation, maximum, text, p, positions) {
  const { color, ...style } = activationFill(activation, maximum);
  const words = `#${feature} on “${text}”: ${activation ? `${figure(activation)} of ${figure(maximum)}` : "not active"}`;
  const node = element("td", { class: mark("cell", positions, p), "data-at": p, style, role: "gridcell", tabindex: "-1", "aria-label": words });
  said.set(node, words);
  return node;
}
