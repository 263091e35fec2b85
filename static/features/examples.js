// What stands right: the corpus examples, and the card of the token under the pointer.

import { facts, hoverCard } from "../shared/card.js";
import { few } from "../shared/definitions.js";
import { chip, logitScale } from "../shared/logits.js";
import { activeAt, effectScale, legend, oneStop, retell, sequenceRow, tokenAt, uncounted } from "../shared/sequences.js";
import { column, count, element, figure, loneToken, percent, quantileText, signed } from "../shared/text.js";

const CONTRIBUTIONS = 5; // logits named at each end of a card
const FIRST = 10; // lines that are drawn at once

/** All sequences of a feature in the order they stand. */
const allSequences = ({ top, random = [], intervals = [] }) => [...top, ...random, ...intervals.flatMap(({ sequences }) => sequences)];

/**
 * Draws legend, the first top activations and the headings of all groups, then, part by part, the other lines; a
 * generator, as partsDrawer takes. `context` as in sequenceRow.
 */
export function* drawExamples(data, context) {
  const section = document.getElementById("examples");
  section.hidden = data.missing || data.dead;
  const groups = section.querySelector(".groups");
  groups.dataset.context = context;
  if (section.hidden) return groups.replaceChildren();
  const draw = drawsLines(data, context);
  const { top, random, intervals } = data.sequences;
  if (data.count !== null && data.count < few) return groups.replaceChildren(allOf(data, draw));
  const first = topGroup(data, top.slice(0, FIRST).map(draw), top.length);
  const later = [
    group("Random positives", data.count === null ? "drawn from all" : `drawn from all ${count(data.count)}`, [], null, random.length),
    ...intervals.map(({ low, high, count: held, share, sequences }) =>
      group(`Activation ${figure(low)} to ${figure(high)}`, `${percent(share)} of all tokens`, [], held ? null : "No token lies in it.", sequences.length)),
  ];
  groups.replaceChildren(first, ...later);
  yield;
  add(first, top.slice(FIRST).map(draw));
  for (const [i, sequences] of [random, ...intervals.map(({ sequences }) => sequences)].entries()) {
    yield;
    add(later[i], sequences.map(draw));
  }
}

/** While the slider passes a feature: legend and top lines, in place of those of the one before. */
export function drawTopLines(data, context) {
  const section = document.getElementById("examples");
  section.hidden = data.missing || data.dead;
  const groups = section.querySelector(".groups");
  if (section.hidden) return groups.replaceChildren();
  const rows = data.sequences.top.map(drawsLines(data, context === "whole" ? "short" : context));
  const held = groups.firstElementChild;
  if (held?.querySelector("[role=list]")) refill(held, ...topWords(data), rows);
  else groups.prepend(topGroup(data, rows));
}

/** What draws a sequence of this feature; draws the legend that goes with it. */
function drawsLines(data, context) {
  const scale = Math.max(data.largest_effect ?? 0, effectScale(allSequences(data.sequences)));
  const place = document.getElementById("legend");
  if (place.firstChild) retell(place.firstChild, data.maximum, scale);
  else place.append(legend(data.maximum, scale));
  return (sequence) => sequenceRow(sequence, { maximum: data.maximum, scale, context });
}

const topWords = (data) => ["Top activations", `max ${figure(data.maximum)}`];
const topGroup = (data, rows, lines = rows.length) => group(...topWords(data), rows, null, lines);

/** Of a feature that is hardly ever active: each of its examples once, the strongest first. */
function allOf(data, draw) {
  const places = new Map(allSequences(data.sequences).map((sequence) => [`${sequence.place ?? sequence.row} ${(sequence.start ?? 0) + sequence.position}`, sequence]));
  const found = [...places.values()].sort((a, b) => b.activation - a.activation);
  const kept = found.length < data.count ? `${count(found.length)} of its ${count(data.count)}; the others stand beside these` : `on ${count(data.count)}${data.population ? ` of ${count(data.population.tokens)}` : ""} tokens`;
  return group(found.length < data.count ? "Activations" : "All activations", kept, found.map(draw));
}

/** `lines`: how many will stand in it, where they are drawn later. */
function group(title, remark, rows, empty = null, lines = rows.length) {
  const node = element("section", { class: "group", style: { "--lines": lines } },
    element("h2", {}, title, " ", element("span", { class: "remark" }, remark)),
    empty ? element("p", { class: "muted" }, empty) : element("div", { role: "list", "aria-label": title }));
  add(node, rows);
  return node;
}

/** The lines of another feature, in the group that stands there. */
function refill(node, title, remark, rows) {
  const list = node.querySelector("[role=list]");
  node.querySelector("h2").firstChild.data = title;
  node.querySelector(".remark").textContent = remark;
  node.style.setProperty("--lines", rows.length);
  list.setAttribute("aria-label", title);
  list.replaceChildren();
  add(node, rows);
}

/** Lines to a group, of which one token is the tab stop. */
function add(node, rows) {
  for (const row of rows) row.setAttribute("role", "listitem");
  node.querySelector("[role=list]")?.append(...rows);
  oneStop(node);
}

/** The card of tokens inside `root`. `now()` gives the feature's data and its two histograms. */
export function tokenCards(root, now) {
  const { close } = hoverCard(root, {
    selector: ".token:not(.sample)",
    pins: true,
    describe: (node) => tokenAt(node) && describe(tokenAt(node), now().data),
    shown(node) {
      const { sequence, position } = tokenAt(node);
      const active = activeAt(sequence, position);
      if (!active) return;
      const perUnit = active.logit_effect == null ? null : active.logit_effect / active.activation;
      now().marks.activation?.mark(Math.abs(active.activation), figure(active.activation));
      now().marks.logit?.mark(perUnit, `next: ${figure(perUnit, 3)}`);
    },
    hidden() {
      now().marks.activation?.clear();
      now().marks.logit?.clear();
    },
  });
  return close;
}

/** Everything known of one token. */
function describe({ sequence, position }, data) {
  const active = activeAt(sequence, position);
  const before = activeAt(sequence, position - 1);
  const next = sequence.tokens[position + 1];
  const notCounted = sequence.special.includes(position);
  return element("div", {},
    element("h3", {}, loneToken(sequence.tokens[position]), element("span", { class: "muted" }, ` token ${sequence.ids[position]}`)),
    element("div", { class: "muted" }, place(sequence, position, data)),
    notCounted ? element("div", {}, uncounted(active || sequence.row === undefined)) : active ? null : element("div", {}, "Not active here."),
    facts([
      ...(active ? aboutActivation(active, next, data.population?.tokens) : []),
      ["Effect of the previous token’s activation on this token", before && before.loss_effect !== null
        ? `${signed(before.loss_effect)} nats, ${helpOrHurt(before.loss_effect)}` : null, "underline"],
    ]),
    active && data.logits && contributions(active.activation, data.logits));
}

/** Where in the corpus, or in the reader's own text. */
const place = ({ row, start = 0 }, position, { population }) =>
  row === undefined ? `position ${position} of your text` : `row ${count(row)}, position ${start + position} of ${population.corpus}`;

const helpOrHurt = (effect) => (effect < 0 ? "helps" : effect > 0 ? "hurts" : "no effect");

/** `next`: the token predicted, undefined at the row's end. `tokens` are those
 * counted. A text of the reader's own has fewer figures. */
function aboutActivation(active, next, tokens) {
  const given = (value, written) => (value === undefined ? null : written(value));
  const { loss, loss_effect: effect } = active; // nats; those without the feature are loss - effect
  const probability = loss === undefined ? undefined : Math.exp(-loss);
  const without = loss === undefined ? undefined : Math.exp(effect - loss);
  const rows = [
    ["Activation", figure(active.activation), "activation"],
    ["Quantile", given(active.quantile, (q) => quantileText(q, tokens)), "quantile"],
  ];
  if (next === undefined) return [...rows, ["Next token", "none: the text ends"]];
  rows.push(["Next token", loneToken(next)]);
  if (active.loss_effect === null) return [...rows, ["Loss effect on it", "not computed so far from an example"]];
  return [...rows,
    ["Loss effect on it", `${signed(active.loss_effect)} nats, ${helpOrHurt(active.loss_effect)}`, "loss-effect"],
    ["Its probability, with", given(probability, percent), "probability"],
    ["… and without", given(without, percent), "probability-without"],
    ["Logit effect on it, before the norm’s scale", given(active.logit_effect, signed), "logit-effect"],
  ];
}

/** What this activation adds to the logits it moves most: activation × logit per unit, the norm's scale left out. */
function contributions(activation, logits) {
  const scale = logitScale(logits);
  const line = (name, entries) => element("div", { class: "chips" }, element("span", { class: "muted" }, name),
    entries.slice(0, CONTRIBUTIONS).map((entry) =>
      element("span", {}, chip(entry, scale), element("span", { class: "number" }, ` ${column(activation * entry.value)}`))));
  return element("div", { title: "activation × logit per unit, before the norm’s scale" }, line("raises", logits.positive), line("lowers", logits.negative));
}
