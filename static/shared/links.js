// How does a page point to a feature, and what does the pointer show of it?

import { facts, hoverCard } from "./card.js";
import { few } from "./definitions.js";
import { element, figure, loneToken, percent } from "./text.js";

const previews = new WeakMap(); // link -> preview

/** Address of a feature's page: `base` is that of any list of features ("/saes/<slug>/features/"). */
export const featureUrl = (base, index, query = "") => `${base}${index}/${query}`;

/** A link "#123" with an optional preview `{density, count, maximum, top_token, top_logit, dead, dense}`. */
export function featureLink(base, index, preview = null, query = "") {
  const link = element("a", { class: "feature-link", href: featureUrl(base, index, query), "data-index": index }, `#${index}`);
  if (preview) previews.set(link, preview);
  return link;
}

/** Shows the previews of all feature links inside `root`. */
export function previewCards(root) {
  return hoverCard(root, { selector: ".feature-link", describe: (link) => previews.has(link) && preview(link, previews.get(link)) });
}

function preview(link, { density, count: fired, maximum, top_token, top_logit, dead, dense }) {
  return element("div", {},
    element("strong", {}, link.textContent), dead ? " dead" : dense ? " dense" : "",
    dead ? null : facts([
      fired < few ? ["Fires on", fired === 1 ? "1 token" : `${fired} tokens`] : ["Density", percent(density)], ["Maximum", figure(maximum)],
      ["Fires most on", loneToken(top_token)], ["Boosts most", loneToken(top_logit)]]));
}
