// What do two chosen tokens have in common, and what has one alone? All features active there, with both scores.

import { featureLink } from "../shared/links.js";
import { count, element, visible } from "../shared/text.js";
import { METRICS } from "./dashboard.js";

const SHOWN = 12; // rows of a part until all are asked for
export const LISTED = 10_000; // features of a ranking that comes without dashboards; as forms.py

/** Features of two rankings in three parts, each with the largest difference first: `[{feature, one, other}]`, null where it is not active. */
export function compared(one, other) {
  const scores = new Map(one.map(({ feature, score }) => [feature, { feature, one: score, other: null }]));
  for (const { feature, score } of other) scores.set(feature, { feature, one: null, ...scores.get(feature), other: score });
  const apart = ({ one: a, other: b }) => Math.abs((a ?? 0) - (b ?? 0));
  const all = [...scores.values()].sort((a, b) => apart(b) - apart(a) || a.feature - b.feature);
  return {
    both: all.filter((row) => row.one !== null && row.other !== null),
    first: all.filter((row) => row.other === null),
    second: all.filter((row) => row.one === null),
  };
}

/** The comparison of the answers of two tokens, without dashboards, as nodes. */
export function sideBySide(answers, features) {
  const [a, b] = answers.map(({ tokens, position }) => `${position} “${visible(tokens[position])}”`);
  const { both, first, second } = compared(answers[0].ranking, answers[1].ranking);
  const metric = METRICS[answers[0].rank];
  const write = (value) => (value === null ? "–" : metric.text(value, Infinity).replace(" nats", "")); // a quantile to the digits that are always known
  const unit = metric === METRICS.loss_effect ? ", nats" : "";
  const part = (title, rows, columns) => element("section", { class: "part" },
    element("h3", {}, `${title}: ${count(rows.length)}`),
    rows.length ? table(rows, columns) : element("p", { class: "muted" }, "None."));
  const link = ["Feature", ({ feature }) => featureLink(features, feature)];
  return [
    ...answers.filter(({ note }) => note).map(({ note, position }) => element("p", { class: "notice" }, `Token ${position}: ${note}`)),
    ...answers.filter(({ ranking, active }) => ranking.length < active).map(({ ranking, active, position }) =>
      element("p", { class: "notice" }, `Of token ${position} the first ${count(ranking.length)} of ${count(active)} features are compared.`)),
    element("div", { class: "parts" },
      part("In both", both, [link, [a, ({ one }) => write(one)], [b, ({ other }) => write(other)], [`Difference${unit}`, ({ one, other }) => difference(other - one, metric)]]),
      part(`Only on ${a}`, first, [link, [metric.name + unit, ({ one }) => write(one)]]),
      part(`Only on ${b}`, second, [link, [metric.name + unit, ({ other }) => write(other)]])),
  ];
}

const difference = (value, metric) => (metric === METRICS.act_quantile ? `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toPrecision(2)} points`
  : `${value > 0 && metric !== METRICS.loss_effect ? "+" : ""}${metric.text(value).replace(" nats", "")}`);

function table(rows, columns) {
  const body = rows.map((row, i) => element("tr", { hidden: i >= SHOWN },
    columns.map(([, value], c) => element("td", { class: c ? "number" : "" }, value(row)))));
  const more = rows.length > SHOWN && element("button", {
    type: "button", class: "quiet",
    onclick: ({ target }) => {
      for (const tr of body) tr.hidden = false;
      body[SHOWN].querySelector("a").focus();
      target.remove();
    },
  }, `${count(rows.length - SHOWN)} more`);
  return element("div", {},
    element("table", {},
      element("thead", {}, element("tr", {}, columns.map(([name], c) => element("th", { scope: "col", class: c ? "number" : "" }, name)))),
      element("tbody", {}, body)), more);
}
