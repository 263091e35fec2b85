// What stands left of the examples: tables of relatives, density, histograms and logits.

import { histogram, logitHue } from "../shared/histogram.js";
import { featureLink } from "../shared/links.js";
import { logitScale, logitTable } from "../shared/logits.js";
import { recall, remember } from "../shared/memory.js";
import { few } from "../shared/definitions.js";
import { column, count, element, figure, percent } from "../shared/text.js";

const SHORT = 5; // rows of a table until all are asked for

/** Put nodes into the section of that id, or hide the section where there are none. */
export function fill(id, ...nodes) {
  const section = document.getElementById(id);
  if (!section) return;
  const shown = nodes.filter(Boolean);
  section.hidden = shown.length === 0;
  section.querySelector(".fill").replaceChildren(...shown);
}

/** Draws the tables of neurons and features that go along with this one, and where the figures come from. */
export function drawRelatives(data, base, query) {
  const link = ({ feature }) => featureLink(base, feature, data.previews[feature], query);
  fill("neuron-alignment", relatives(data.neuron_alignment,
    [["Index", ({ neuron }) => String(neuron)], ["Value", ({ value }) => column(value)], ["% of L1", ({ share }) => percent(share, 2)]]));
  fill("correlated-neurons", relatives(data.correlated_neurons,
    [["Index", ({ neuron }) => String(neuron)], ["Pearson", ({ pearson }) => column(pearson)], ["Cosine", ({ cosine }) => column(cosine)]]));
  fill("correlated-features", relatives(data.correlated_features, [["Feature", link], ["Pearson", ({ pearson }) => column(pearson)],
    ["Cosine", ({ cosine }) => column(cosine)], ["Decoder", ({ decoder_cosine: d }) => column(d)]]));
  fill("correlated-b", ...encoderB(data));
  fill("neighbours", relatives(data.neighbours, [["Feature", link], ["Cosine", ({ cosine }) => column(cosine)]]));
  fill("reproduce", element("p", { class: "muted" }, provenance(data)), element("pre", {}, data.reproduce));
}

/** What of encoder B goes along with this feature; links where its pages show the SAE that was correlated with. */
function encoderB({ encoder_b: b, correlated_b: rows, previews_b: previews }) {
  if (!b || !rows.length) return [];
  const link = ({ feature }) => (b.address ? featureLink(b.address, feature, previews[feature]) : `#${feature}`);
  const what = element("p", { class: "muted" }, `of ${b.name}, checkpoint `, element("code", { title: b.checkpoint }, b.checkpoint.slice(0, 10)),
    b.address ? "" : "; its pages show no statistics of these weights");
  return [what, relatives(rows, [["Feature", link], ["Pearson", ({ pearson }) => column(pearson)],
    ["Cosine", ({ cosine }) => column(cosine)], ["Decoder", ({ decoder_cosine: d }) => column(d)]])];
}

/** A table of relatives: five rows, the rest on request; the low end of correlations under a heading of its own. */
function relatives(rows, columns) {
  if (!rows.length) return null;
  const body = rows.flatMap((row, i) => [
    row.lowest && !rows[i - 1]?.lowest && element("tr", { hidden: i >= SHORT },
      element("th", { scope: "rowgroup", colspan: columns.length, class: "muted" }, "Lowest correlations")),
    element("tr", { hidden: i >= SHORT }, columns.map(([, value], c) => element("td", { class: c ? "number" : "" }, value(row)))),
  ]).filter(Boolean);
  const more = rows.length > SHORT && element("button", {
    type: "button", class: "quiet",
    onclick: (event) => {
      const first = body.find((tr) => tr.hidden);
      body.forEach((tr) => (tr.hidden = false));
      event.target.remove();
      first.tabIndex = -1; // the focus goes on where the rows do
      (first.querySelector("a") ?? first).focus();
    },
  }, `${rows.length - SHORT} more`);
  return element("div", {},
    element("table", {},
      element("thead", {}, element("tr", {}, columns.map(([name], c) => element("th", { scope: "col", class: c ? "number" : "" }, name)))),
      element("tbody", {}, body)), more);
}

const densityLine = (data) => data.dead
  ? element("p", {}, `Dead: it fired on none of the ${count(data.population.tokens)} tokens counted. It may fire on others; what it would write is below.`)
  : element("p", { class: "density" },
    ...(data.count < few ? ["On ", element("strong", {}, count(data.count)), ` of ${count(data.population.tokens)} tokens`] : ["Density ", element("strong", {}, percent(data.density))]),
    element("span", { class: "muted" }, `  max ${figure(data.maximum)}, mean ${figure(data.mean)}`));

/** The density alone, in place of that of another feature. */
export function drawDensity(data) {
  const holder = document.querySelector("#activations .fill");
  if (holder.firstChild) holder.firstChild.replaceWith(densityLine(data));
  else fill("activations", densityLine(data));
}

/** Density with its population, and the histogram with its log switch; the histogram, for marks on it, or null. */
export function drawActivations(data) {
  const { tokens, corpus, checkpoint } = data.population;
  const where = element("p", { class: "muted population" },
    data.dead || data.count >= few ? `on ${count(data.count)} of ${count(tokens)} tokens of ${corpus}, checkpoint ` : `of ${corpus}, checkpoint `, element("code", { title: checkpoint }, checkpoint.slice(0, 10)));
  const line = densityLine(data);
  if (!data.activation_histogram) {
    fill("activations", line, where);
    return null;
  }
  let drawn = histogram(data.activation_histogram, { log: recall("log", false), name: "Histogram of active values" });
  const button = element("button", { type: "button", class: "quiet log", "aria-pressed": String(recall("log", false)) }, "log y");
  button.addEventListener("click", () => {
    remember("log", !recall("log", false));
    button.setAttribute("aria-pressed", String(recall("log", false)));
    drawn = histogram(data.activation_histogram, { log: recall("log", false), name: "Histogram of active values" });
    holder.lastChild.replaceWith(drawn.node);
  });
  const holder = element("div", {}, button, drawn.node);
  fill("activations", line, where, holder);
  return { mark: (...values) => drawn.mark(...values), clear: () => drawn.clear() };
}

/** Negative and positive logits side by side, and all of them as a histogram, which is returned for marks on it. */
export function drawLogits(data) {
  const { positive, negative } = data.logits;
  const scale = logitScale(data.logits);
  const side = (title, entries) => element("div", {}, element("h3", {}, title), logitTable(entries, scale));
  fill("logits", element("div", { class: "sides" }, side("Negative", negative), side("Positive", positive)));
  const drawn = data.logits.histogram && histogram(data.logits.histogram, { hue: logitHue, name: "Histogram of logit effects" });
  fill("logits-histogram", drawn?.node);
  return drawn;
}

/** Where the figures come from, in a sentence. */
function provenance({ sae, population, encoder_b: b }) {
  const versions = Object.entries(population.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  return [`${sae.format}${sae.dtype && `, stored as ${sae.dtype}`}, of ${sae.model} at ${sae.hook_point}; checkpoint ${population.checkpoint.slice(0, 16)}`,
    `${count(population.tokens)} tokens of ${population.corpus}, rows ${population.bos ? "with" : "without"} BOS, seed ${population.seed}`,
    b && `encoder B: ${b.name}, checkpoint ${b.checkpoint.slice(0, 16)}`,
    versions && `computed with ${versions}`].filter(Boolean).join("; ") + ".";
}
