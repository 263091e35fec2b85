// Two features beside each other: their figures, logits and examples, each from its own JSON.

import { element } from "../shared/element.js";
import { histogram } from "../shared/histogram.js";
import { logitScale, logitTable } from "../shared/logits.js";
import { effectScale, sequenceRow } from "../shared/sequences.js";
import { count, figure, percent } from "../shared/text.js";

const { columns } = JSON.parse(document.getElementById("beside-data").textContent);
const place = document.getElementById("columns");

async function column({ name, feature, page, json }) {
  const head = element("h2", {}, element("a", { href: page }, `#${feature}`), ` ${name}`);
  const response = await fetch(json, { headers: { Accept: "application/json" } });
  const data = await response.json().catch(() => null);
  if (!response.ok || !data) return element("section", {}, head, element("p", { class: "notice" }, data?.error ?? `The site answered ${response.status}.`));
  if (data.missing) return element("section", {}, head, element("p", { class: "notice" }, data.problem || "It has no panels here. Those of a checkpoint are made when it is starred on its page."));
  if (data.dead) return element("section", {}, head, element("p", { class: "notice" }, "Dead: it never fired on these tokens."));
  const scale = effectScale([...data.sequences.top, ...data.sequences.random]);
  const draw = (sequence) => sequenceRow(sequence, { maximum: data.maximum, scale });
  const logits = data.logits;
  return element("section", {}, head,
    element("p", {}, `Density ${percent(data.density)} of ${count(data.population.tokens)} tokens, maximum ${figure(data.maximum, 3)}, mean ${figure(data.mean, 3)}`),
    data.activation_histogram && histogram(data.activation_histogram, { name: "Activations", height: 70 }).node,
    logits && logits.positive.length ? element("div", { class: "two tight" }, logitTable(logits.negative, logitScale(logits), 5), logitTable(logits.positive, logitScale(logits), 5)) : null,
    element("h3", {}, "Top activations"), data.sequences.top.slice(0, 10).map(draw),
    element("h3", {}, "Random positives"), data.sequences.random.slice(0, 6).map(draw));
}

place.replaceChildren(...(await Promise.all(columns.map(column))));
