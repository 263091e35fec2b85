// Two features beside each other: their figures, logits and examples, each from its own JSON.

import { element } from "../shared/element.js";
import { histogram } from "../shared/histogram.js";
import { logitScale, logitTable } from "../shared/logits.js";
import { effectScale, sequenceRow } from "../shared/sequences.js";
import { count, figure, percent } from "../shared/text.js";

const { columns, order = 0 } = JSON.parse(document.getElementById("beside-data").textContent);
const place = document.getElementById("columns");

const keyOf = ({ row, position }) => `${row} ${position}`;

/** Strongest examples of a column that can be compared: of the same text. */
const topsOf = (answer, other) => answer?.data?.sequences && other?.data?.sequences && answer.data.population.corpus === other.data.population.corpus
  ? new Set(other.data.sequences.top.map(keyOf)) : null;

/** What is said of an example that the other side has as well, or has not: between checkpoints kept, lost or gained. */
function fate(isInBoth, side) {
  if (!order) return isInBoth ? "in both" : "here alone";
  return isInBoth ? "kept" : (side === 0) === (order === 1) ? "lost" : "gained";
}

async function ask({ json }) {
  const response = await fetch(json, { headers: { Accept: "application/json" } });
  return { response, data: await response.json().catch(() => null) };
}

function column({ name, feature, page }, side, { response, data }, others) {
  const head = element("h2", {}, element("a", { href: page }, `#${feature}`), ` ${name}`);
  if (!response.ok || !data) return element("section", {}, head, element("p", { class: "notice" }, data?.error ?? `The site answered ${response.status}.`));
  if (data.missing) return element("section", {}, head, element("p", { class: "notice" }, data.problem || "It has no panels here. Those of a checkpoint are made when it is starred on its page."));
  if (data.dead) return element("section", {}, head, element("p", { class: "notice" }, "Dead: it never fired on these tokens."));
  const scale = effectScale([...data.sequences.top, ...data.sequences.random]);
  const draw = (sequence) => sequenceRow(sequence, { maximum: data.maximum, scale });
  const logits = data.logits;
  const top = data.sequences.top.map((sequence) => [sequence, others && fate(others.has(keyOf(sequence)), side)]);
  const words = others ? [...new Set(top.map(([, what]) => what))] : [];
  const numbers = words.map((word) => `${count(top.filter(([, what]) => what === word).length)} ${word}`).join(", ");
  return element("section", {}, head,
    element("p", {}, `Density ${percent(data.density)} of ${count(data.population.tokens)} tokens of ${data.population.corpus}, maximum ${figure(data.maximum, 3)}, mean ${figure(data.mean, 3)}`),
    data.activation_histogram && histogram(data.activation_histogram, { name: "Activations", height: 70 }).node,
    logits && logits.positive.length ? element("div", { class: "two tight" }, logitTable(logits.negative, logitScale(logits), 5), logitTable(logits.positive, logitScale(logits), 5)) : null,
    element("h3", {}, "Top activations", numbers ? element("span", { class: "muted" }, ` of ${count(top.length)}: ${numbers}`) : null),
    top.slice(0, 10).map(([sequence, what]) => (what ? element("div", { class: "fated" }, element("span", { class: `fate ${what.replace(" ", "-")}` }, what), draw(sequence)) : draw(sequence))),
    element("h3", {}, "Random positives"), data.sequences.random.slice(0, 6).map(draw));
}

const answers = await Promise.all(columns.map(ask));
place.replaceChildren(...columns.map((each, side) => column(each, side, answers[side], topsOf(answers[side], answers[1 - side]))));
