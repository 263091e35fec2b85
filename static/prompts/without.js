// What would the model predict if this feature were silent here? Asked when a card is open for a moment.

import { element, loneToken, percent } from "../shared/text.js";

const kept = new Map(); // address -> what it answered
const REST = 150; // ms that a card stays open before it asks

/** A place in a card that fills itself: the five most probable next tokens with and without the feature. */
export function without(address) {
  const node = element("div", { class: "without" }, element("p", { class: "muted" }, "Predictions without it …"));
  const tell = (found) => node.replaceChildren(...(found.error ? [element("p", { class: "muted" }, found.error)] : told(found)));
  if (kept.has(address)) tell(kept.get(address));
  else setTimeout(() => node.isConnected && node.checkVisibility() && asked(address).then(tell), REST);
  return node;
}

async function asked(address) {
  const found = await fetch(address).then((response) => response.json()).catch(() => ({ error: "The site does not answer." }));
  if (!found.error) kept.set(address, found);
  return found;
}

function told({ with: before, without: after, next }) {
  const head = element("tr", {}, element("th", { scope: "col", colspan: 2 }, "Predicted"), element("th", { scope: "col", colspan: 2 }, "without it"));
  const cells = ({ token, probability }) => [element("td", {}, loneToken(token)), element("td", { class: "number" }, percent(probability))];
  const rows = before.map((entry, at) => element("tr", {}, cells(entry), cells(after[at])));
  return [
    next && element("p", {}, "The next token, ", loneToken(next[0].token), `: ${percent(next[0].probability)}, without it ${percent(next[1].probability)}.`),
    element("table", { class: "predicted" }, element("thead", {}, head), element("tbody", {}, rows)),
  ].filter(Boolean);
}
