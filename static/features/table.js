// The table of features: keys for its rows, starred features, and the computation's progress.

import { bindKeys } from "../shared/keys.js";
import { stars } from "../shared/memory.js";
import { followWork } from "../shared/progress.js";
import { element } from "../shared/text.js";

const { base, slug } = document.getElementById("main").dataset;
const starred = stars(slug);
const rows = [...document.querySelectorAll(".row-link")];
const search = document.getElementById("search");

/** Focus the row so many further than the one focused. */
function move(by) {
  const here = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, here < 0 ? 0 : here + by))]?.focus();
}

function drawStars() {
  for (const row of document.querySelectorAll("tr[data-index]"))
    row.querySelector(".star").hidden = !starred.has(Number(row.dataset.index));
  const all = starred.all();
  document.getElementById("starred")?.replaceChildren(
    all.length ? element("a", { href: `${base}?only=${all.join(",")}` }, `★ ${all.length} starred`) : "");
}

function star() {
  const row = document.activeElement.closest("tr[data-index]");
  if (row) starred.toggle(Number(row.dataset.index)), drawStars();
}

const follow = (selector) => document.querySelector(selector)?.click();
bindKeys([
  { keys: ["/"], label: "/", does: "search", run: () => search && (search.focus(), search.select()) },
  { keys: ["j", "ArrowDown"], label: "↓ j", does: "next row", run: () => move(1) },
  { keys: ["k", "ArrowUp"], label: "↑ k", does: "previous row", run: () => move(-1) },
  { label: "Enter", does: "open the row" },
  { keys: ["ArrowRight"], label: "→", does: "next page of the table", run: () => follow(".pages [rel=next]") },
  { keys: ["ArrowLeft"], label: "←", does: "previous page of the table", run: () => follow(".pages [rel=prev]") },
  { keys: ["r"], label: "r", does: "random feature of this list", run: () => location.assign(`${base}random/${location.search}`) },
  { keys: ["s"], label: "s", does: "star the focused row", run: star },
]);

drawStars();
if (location.hash === "#search") search?.focus();
const progress = document.getElementById("progress");
if (progress) followWork(progress);
