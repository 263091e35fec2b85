// Which features act anywhere in the prompt? Tokens across, features down.

import { activationFill } from "../shared/colours.js";
import { featureUrl } from "../shared/links.js";
import { element, figure, visible } from "../shared/text.js";

/**
 * The overview of an answer as a table; a click on a cell calls `choose([position])`. Returns
 * `{node, point(position)}`; point lights a token's column.
 */
export function heatmap({ tokens, special, positions, overview }, features, choose) {
  const columns = tokens.map((text, p) => ({ text: visible(text), p })).filter(({ p }) => !special[p]);
  const top = element("tr", {}, element("th", { scope: "col" }, "Feature"),
    columns.map(({ text, p }) => element("th", { scope: "col", class: mark("column", positions, p), "data-at": p },
      element("span", {}, text.trim() || "␣"))));
  const rows = overview.features.map((feature, at) => element("tr", { "data-feature": feature },
    element("th", { scope: "row" }, element("a", { href: featureUrl(features, feature) }, `#${feature}`)),
    columns.map(({ text, p }) => cell(feature, overview.activations[at][p], overview.maxima[at], text, p, positions))));
  const node = element("div", { class: "heat-scroll", tabindex: "0", role: "region", "aria-label": "Tokens and features" },
    element("table", { class: "heat" }, element("thead", {}, top), element("tbody", {}, rows)));
  node.addEventListener("click", (event) => {
    const at = event.target.closest("[data-at]")?.dataset.at;
    if (at !== undefined) choose([Number(at)]);
  });
  return {
    node,
    point(position) {
      for (const found of node.querySelectorAll("[data-at]"))
        found.classList.toggle("pointed", Number(found.dataset.at) === position);
    },
  };
}

const mark = (name, positions, p) => name + (positions.includes(p) ? " chosen" : "");

function cell(feature, activation, maximum, text, p, positions) {
  const { color, ...style } = activationFill(activation, maximum);
  const title = activation ? `#${feature} on “${text}”: ${figure(activation)} of ${figure(maximum)}` : null;
  return element("td", { class: mark("cell", positions, p), "data-at": p, style, title },
    activation !== 0 && element("span", { class: "heard" }, figure(activation, 2)));
}
