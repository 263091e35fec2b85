// Below the misses of a feature: which features fired instead, and how near it was to firing itself.

import { featureLink } from "../shared/links.js";
import { tokenAt } from "../shared/sequences.js";
import { element, figure, loneToken, percent } from "../shared/text.js";

/** The table of suspects; cosines that are not stored are filled in by `nearMisses`. */
export function drawInstead({ instead, counts }, base) {
  if (!instead.length) return element("p", { class: "muted" }, "No feature is active there more often than elsewhere.");
  return element("div", { class: "instead" },
    element("h4", {}, `Instead, of ${counts.misses.toLocaleString("en-US")} misses`),
    element("table", { class: "figures" },
      element("thead", {}, element("tr", {}, ["Feature", "Share", "Lift", "Decoder", "Fires most on"].map((name, n) =>
        element("th", { scope: "col", class: n > 0 && n < 4 && "number" }, name)))),
      element("tbody", {}, instead.map((one) => element("tr", { "data-feature": one.feature },
        element("td", {}, featureLink(base, one.feature)),
        element("td", { class: "number", title: `${one.hits} misses` }, percent(one.share)),
        element("td", { class: "number" }, figure(one.lift, 3)),
        element("td", { class: "number cosine" }, one.decoder_cosine === null ? "–" : figure(one.decoder_cosine, 2)),
        element("td", {}, one.top_token ? loneToken(one.top_token) : ""))))));
}

/** Asks the model, where it is loaded, for the activation just below threshold on each miss, and for the cosines. */
export async function nearMisses(groups, feature, load = false) {
  const box = groups.querySelector(".instead")?.parentElement ?? groups.children[1];
  const said = element("p", { class: "muted near" }, load ? "Asking the model …" : "");
  box.querySelector(".near")?.remove();
  box.append(said);
  try {
    const others = feature.instead.map((one) => one.feature).join(",");
    const response = await fetch(`${groups.dataset.near}&others=${others}${load ? "&load=1" : ""}`);
    const answer = await response.json();
    if (!response.ok) {
      said.textContent = `${answer.error} `;
      if (answer.cold) said.append(element("button", { type: "button", onclick: () => nearMisses(groups, feature, true) }, "Load it"));
      return;
    }
    for (const [other, cosine] of Object.entries(answer.cosines))
      box.querySelector(`tr[data-feature="${other}"] .cosine`).textContent = cosine === null ? "–" : figure(cosine, 2);
    for (const chosen of box.querySelectorAll(".token.chosen")) {
      const { sequence, position } = tokenAt(chosen);
      const near = answer.misses.find((miss) => miss.row === sequence.row && miss.position === position);
      if (near) chosen.closest(".sequence").after(element("p", { class: "muted below" }, `pre-activation ${figure(near.pre_activation, 3)}, active above ${figure(near.bar, 3)}`));
    }
    said.remove();
  } catch (error) {
    said.textContent = `The site does not answer: ${error.message}`;
  }
}
