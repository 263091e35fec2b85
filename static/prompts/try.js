// Where does this feature fire on a text of one's own? The box on the feature page.

import { recall, remember } from "../shared/memory.js";
import { asSequence, effectScale, oneStop, sequenceRow, tokenKeys, woken } from "../shared/sequences.js";
import { element, figure } from "../shared/text.js";

const WAIT = 300; // ms without typing before the model is asked

/**
 * Fills `place` with the box. `base` is the address of the SAE's features ("/saes/<slug>/features/"). Returns
 * `{show(data)}`, to be called with the data of each feature the page moves to: the text stays and is tried on it.
 */
export function tryBox(place, base) {
  const text = element("textarea", { rows: 2, spellcheck: "false", "aria-label": "Text to try this feature on", placeholder: "Type a text and see this feature fire on it" });
  const found = element("div", { class: "tried", "aria-live": "polite" });
  place.replaceChildren(element("h2", {}, "Try a text"), text, found);
  tokenKeys(found, ".tried");
  place.hidden = false;
  text.value = recall("try", "");
  let feature = null;
  let asking = null;
  let timer = null;

  async function ask() {
    asking?.abort();
    if (!text.value || !feature) return found.replaceChildren();
    asking = new AbortController();
    const { index, maximum } = feature;
    const slow = setTimeout(() => found.replaceChildren(element("p", { class: "muted" }, "Asking the model …")), 400);
    try {
      const query = new URLSearchParams({ text: text.value });
      const response = await fetch(`${base}${index}/try/?${query}`, { signal: asking.signal });
      const answer = await response.json();
      found.replaceChildren(...(response.ok ? drawn(answer, maximum) : [element("p", { class: "notice" }, answer.error)]));
      oneStop(found);
    } catch (error) {
      if (error.name !== "AbortError") found.replaceChildren(element("p", { class: "notice" }, "The site does not answer. Type again to retry."));
    } finally {
      clearTimeout(slow);
    }
  }

  text.addEventListener("input", () => {
    remember("try", text.value);
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT);
  });
  return {
    show(data) {
      feature = data;
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT); // not for every feature that a dragged slider passes
    },
  };
}

function drawn({ tokens, token_ids: ids, special, activations, loss_effects: lossEffects }, maximum) {
  const sequence = asSequence({ tokens, ids, activations, lossEffects, special });
  const most = Math.max(0, ...activations.map(Math.abs));
  return [
    woken(sequenceRow(sequence, { maximum: maximum || most || 1, scale: effectScale([sequence]), context: "whole" })),
    element("p", { class: "muted" }, most > 0 ? `Strongest here: ${figure(most)}${maximum ? ` of ${figure(maximum)} in the corpus` : ""}.` : "It does not fire on this text."),
  ];
}
