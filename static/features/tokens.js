// On which tokens a feature fires, where in the row and in what kind of document, and which features fire with it.

import { fill } from "./figures.js";
import { featureLink } from "../shared/links.js";
import { recall, remember } from "../shared/memory.js";
import { count, element, figure, loneToken, percent } from "../shared/text.js";

const PLACES = { before: "before", at: "on it", after: "after" };
const WEIGHTS = { share: "count", weighted: "activation" };
const SHOWN = 8; // tokens of a list
const FEWEST = 10; // a share below 10 in so many tokens is chance

/** Draws both sections; they are hidden where nothing was worked out. */
export function drawTokens(data, base, query) {
  const found = data.analysis?.tokens;
  fill("tokens", found && tokens(found));
  fill("partners", found && partners(found, (index) => featureLink(base, index, data.previews[index], query)));
}

function tokens(found) {
  const list = element("div", { class: "list" });
  const chosen = { place: recall("tokens-place", "at"), weight: recall("tokens-weight", "share") };
  if (!(chosen.place in PLACES)) chosen.place = "at";
  if (!(chosen.weight in WEIGHTS)) chosen.weight = "share";
  const draw = () => list.replaceChildren(table(found.places[chosen.place], chosen));
  const choose = (name, choices, label) => {
    const buttons = Object.entries(choices).map(([value, words]) => element("button", {
      type: "button", "aria-pressed": String(chosen[name] === value),
      onclick: (event) => {
        chosen[name] = value;
        remember(`tokens-${name}`, value);
        for (const button of buttons) button.setAttribute("aria-pressed", String(button === event.currentTarget));
        draw();
      },
    }, words));
    return element("span", { class: "switch", role: "group", "aria-label": label }, buttons);
  };
  draw();
  return element("div", {}, element("p", {}, sentence(found)),
    element("p", { class: "tools" }, element("span", { class: "muted" }, "Token "), choose("place", PLACES, "Which token"),
      element("span", { class: "muted" }, " by "), choose("weight", WEIGHTS, "Weighted by")),
    list, positions(found), kinds(found, chosen));
}

/** What the figures say at once; of few activations nothing is said. */
function sentence({ one_token: token, position, entropy: [bits, weighted], commonest, skew, places }) {
  if (bits === null) return "It fires on fewer than 20 tokens: too few for an entropy.";
  return [
    token && element("strong", {}, "One token only. "), position && element("strong", {}, `Position ${count(position[0])} only (${percent(position[1])}). `),
    `Entropy ${figure(bits, 3)} bits (${figure(weighted, 3)} by activation); commonest token `, loneToken(places.at[0].token), ` ${percent(commonest)}; `,
    `skewness ${figure(skew, 3)}.`,
  ].flatMap((part) => part || []);
}

function table(rows, { weight }) {
  const sorted = [...rows].sort((a, b) => b[weight] - a[weight]).slice(0, SHOWN);
  const rest = rows.filter((row) => !sorted.includes(row) && row.of_token >= 0.5 && row.count >= FEWEST);
  const line = (row) => element("tr", {}, element("td", {}, loneToken(row.token)),
    element("td", { class: "number" }, percent(row[weight])), element("td", { class: "number" }, percent(row.of_token)), element("td", { class: "number muted" }, count(row.count)));
  const head = ["Token", weight === "share" ? "% of its tokens" : "% of its activation", "fires on % of them", "together"];
  return element("table", {},
    element("thead", {}, element("tr", {}, head.map((name, c) => element("th", { scope: "col", class: c ? "number" : "" }, name)))),
    element("tbody", {}, sorted.map(line),
      rest.length ? element("tr", {}, element("th", { scope: "rowgroup", colspan: 4, class: "muted" }, "Rarer, and it fires on most of them")) : [], rest.map(line)));
}

/** Bars of the share of tokens on which it fires, from the row's begin to its end. */
function positions({ by_position: shares, positions: ends }) {
  const most = Math.max(...shares.map((share) => share ?? 0));
  if (!(most > 0)) return "";
  const words = ends ? `positions ${count(ends[0])} to ${count(ends[1] - 1)}` : "from the row's begin to its end";
  const bars = shares.map((share) => element("i", { style: { height: `${(100 * (share ?? 0)) / most}%` }, title: percent(share ?? 0) }));
  return element("div", {}, element("h3", {}, "By position in the row"),
    element("div", { class: "sixteenths", role: "img", "aria-label": `Share of tokens on which it fires, ${words}: at most ${percent(most)}` }, bars),
    element("p", { class: "muted" }, `${words}; at most ${percent(most)} of the tokens there`));
}

function kinds({ kinds: rows, why_no_kinds: why }, { weight }) {
  if (!rows.length) return why ? element("p", { class: "muted" }, `By kind of document: ${why}`) : "";
  return element("div", {}, element("h3", {}, "By kind of document"), element("table", {},
    element("thead", {}, element("tr", {}, ["Kind", "% of its tokens", "by activation", "fires on % of the kind"].map((name, c) => element("th", { scope: "col", class: c ? "number" : "" }, name)))),
    element("tbody", {}, [...rows].sort((a, b) => b[weight] - a[weight]).map((row) => element("tr", {}, element("td", {}, row.kind),
      [row.share, row.weighted, row.of_kind].map((share) => element("td", { class: "number" }, percent(share))))))));
}

function partners({ together, next }, link) {
  if (!together.length && !next.length) return null;
  const list = (title, rows, head) => rows.length && element("div", {}, element("h3", {}, title), element("table", {},
    element("thead", {}, element("tr", {}, ["Feature", ...head, "lift"].map((name, c) => element("th", { scope: "col", class: c ? "number" : "" }, name)))),
    element("tbody", {}, rows.map((row) => element("tr", {}, element("td", {}, link(row.feature)), element("td", { class: "number" }, percent(row.forward)),
      element("td", { class: "number" }, percent(row.back)), element("td", { class: "number" }, figure(row.lift, 3)))))));
  return element("div", {}, list("On the same token", together, ["P(it | this)", "P(this | it)"]) || "",
    list("One token later", next, ["P(it | this)", "P(this before | it)"]) || "");
}
