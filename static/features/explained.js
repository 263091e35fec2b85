// A pattern drawn on a feature's examples: on which of their tokens it holds, and which examples it explains.

import { tokenAt, woken } from "../shared/sequences.js";
import { count, figure, percent } from "../shared/text.js";

/**
 * The box that draws. `{show(data, base), mark()}`: `show` draws the pattern that stands in it on a feature, and anew on
 * each one that the page moves to; `mark` marks the examples once more after they were drawn again.
 */
export function drawnPattern(form, examples) {
  const said = form.querySelector("output");
  let address = "";
  let feature = null;
  let answer = null;
  let asking = null;

  async function ask() {
    asking?.abort();
    answer = null;
    said.textContent = "";
    mark();
    if (!form.q.value.trim() || !feature || feature.missing) return;
    asking = new AbortController();
    try {
      const query = new URLSearchParams({ q: form.q.value, from: form.from.value });
      const response = await fetch(`${address}explained.json?${query}`, { signal: asking.signal });
      const told = await response.json();
      if (!response.ok) throw new Error(told.error);
      answer = told;
      said.textContent = summary();
      mark();
    } catch (error) {
      if (error.name !== "AbortError") said.textContent = error.message;
    }
  }

  const holdsOn = ({ row, start = 0, position }) => answer.holds[row]?.includes(start + position) ?? false;

  function mark() {
    if (answer) examples.querySelectorAll(".sequence").forEach(woken);
    for (const node of examples.querySelectorAll(".token")) {
      const place = tokenAt(node);
      node.classList.toggle("explained", Boolean(answer && place && holdsOn({ ...place.sequence, position: place.position })));
    }
    for (const line of examples.querySelectorAll(".sequence")) {
      const chosen = line.querySelector(".token.chosen");
      line.classList.toggle("unexplained", Boolean(answer && chosen && !chosen.classList.contains("explained")));
    }
  }

  /** How many examples it explains, and the feature's figures over all activations. */
  function summary() {
    const { top, random } = feature.sequences;
    const of = (sequences, name) => `${sequences.filter(holdsOn).length} of ${sequences.length} ${name}`;
    const examplesOf = `Holds on ${of(top, "top activations")}, ${of(random, "random positives")}.`;
    const { scores } = answer;
    if (!scores) return `${examplesOf} ${answer.why_no_scores}`;
    return `${examplesOf} Over all activations: F1 ${figure(scores.f1, 3)}, precision ${percent(scores.precision)}, recall ${percent(scores.recall)}; ` +
      `${count(scores.hits)} hits, active on ${count(scores.active)}, the pattern holds on ${count(scores.held)} of ${count(scores.tokens)} tokens.`;
  }

  form.q.addEventListener("search", () => form.q.value || ask()); // emptied
  return {
    mark,
    show(data, base) {
      feature = data;
      address = `${base}${data.index}/`;
      ask();
    },
  };
}
