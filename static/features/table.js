// The table of features: keys for its rows, starred features, and the computation's progress.

import { server } from "../judge/kept.js";
import { bindKeys } from "../shared/keys.js";
import { stars } from "../shared/memory.js";
import { followWork } from "../shared/progress.js";
import { element } from "../shared/text.js";

const { base, slug, labels, keeps } = document.getElementById("main").dataset;
const kept = keeps === undefined ? null : server(labels); // whoever may not keep anything there has stars in this browser
const starred = stars(slug);
const rows = [...document.querySelectorAll(".row-link")];
const search = document.getElementById("search");

/** Focus the row so many further than the one focused. */
function move(by) {
  const here = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, here < 0 ? 0 : here + by))]?.focus();
}

function drawStars() {
  if (kept) return;
  for (const row of document.querySelectorAll("tr[data-index]"))
    row.querySelector(".star").hidden = !starred.has(Number(row.dataset.index));
  const all = starred.all();
  document.getElementById("starred")?.replaceChildren(
    all.length ? element("a", { href: `${base}?only=${all.join(",")}` }, `★ ${all.length} starred in this browser`) : "");
}

async function star() {
  const row = document.activeElement.closest("tr[data-index]");
  if (!row) return;
  const index = Number(row.dataset.index);
  if (!kept) return starred.toggle(index), drawStars();
  try {
    const { own } = await kept.read(index);
    const answer = await kept.change(index, { changes: { star: !own.star }, revision: own.revision });
    row.querySelector(".star").hidden = !answer.own.star;
  } catch (error) {
    document.getElementById("starred").replaceChildren(`#${index} is as it was: ${error.message}`);
  }
}

/** Stars of an earlier version, or from before signing in, go to the server. */
async function takeStars() {
  const all = starred.all();
  if (!kept || !all.length) return;
  await kept.read(0); // for the key
  await kept.addStars(all);
  all.forEach(starred.toggle);
  for (const row of document.querySelectorAll("tr[data-index]"))
    if (all.includes(Number(row.dataset.index))) row.querySelector(".star").hidden = false;
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
takeStars().catch(() => {}); // they stay here until the next page
if (location.hash === "#search") search?.focus();
const progress = document.getElementById("progress");
if (progress) followWork(progress);
