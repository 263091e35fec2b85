// How a feature is described without a language model: a line of words, its figures, and the way to check them.

import { element, figure } from "../shared/text.js";

/** Draws the description of each feature that the page moves to; hidden where none was looked for. */
export function drawDescription({ description, index }, place) {
  place.hidden = !description;
  if (!description) return;
  const { line, pattern, f1, precision, recall, why_not, by } = description;
  const figures = `F1 ${figure(f1, 2)} (precision ${figure(precision, 2)}, recall ${figure(recall, 2)})`;
  const ask = `${place.dataset.ask}?${new URLSearchParams({ q: pattern, feature: index })}`;
  place.replaceChildren(
    element("strong", {}, why_not ? line : `Fires ${line}`), " ",
    element("span", { class: "muted", title: "Chosen on even rows of the text; figures are of odd rows" },
      !pattern ? (why_not.startsWith("too rare") ? "Simple patterns are looked for from 20 activations on." : "None was found on even rows.")
        : why_not ? `Looked for without a model or a person; the best reaches ${figures}. `
          : `${figures}, ${by}. `),
    pattern ? element("a", { href: ask, title: pattern }, why_not ? "See it in Ask" : "Check it in Ask") : "",
  );
}
