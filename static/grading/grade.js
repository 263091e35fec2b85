// Grading blind, one feature after the other: first the stranger, then how clear it is. Every answer is kept at once.

import { drawExamples } from "../features/examples.js";
import { bindKeys } from "../shared/keys.js";
import { chip, logitScale } from "../shared/logits.js";
import { partsDrawer } from "../shared/parts.js";
import { sequenceRow, tokenKeys, woken } from "../shared/sequences.js";
import { count, element, figure, percent } from "../shared/text.js";

const byId = (id) => document.getElementById(id);
const { base, first, total, csrf } = byId("main").dataset;
const grades = [...document.querySelectorAll("[data-grade]")];
const inParts = partsDrawer();
let item = null;
let busy = false;

async function ask(number, answer = null) {
  const options = { headers: { Accept: "application/json" } };
  if (answer) Object.assign(options, { method: "POST", body: JSON.stringify(answer) });
  if (answer) Object.assign(options.headers, { "Content-Type": "application/json", "X-CSRFToken": csrf });
  const response = await fetch(`${base}${number}.json`, options).catch(() => { throw new Error("The site does not answer."); });
  const found = await response.json().catch(() => null);
  if (!response.ok || !found) throw new Error(found?.error ?? `The site answered ${response.status}. Reload the page; what was answered is kept.`);
  return found;
}

/** One request at a time; what failed is said, with the way to try again. */
async function doing(work) {
  if (busy) return;
  busy = true;
  byId("main").classList.add("stale");
  try {
    await work();
    byId("trouble").hidden = true;
  } catch (error) {
    byId("trouble").replaceChildren(`${error.message} `, element("button", { type: "button", onclick: () => doing(work) }, "Try again"));
    byId("trouble").hidden = false;
  } finally {
    busy = false;
    byId("main").classList.remove("stale");
  }
}

const go = (number) => doing(async () => {
  draw(await ask(number));
  history.replaceState(null, "", `#${number + 1}`);
  scrollTo(0, 0);
  byId("heading").focus({ preventScroll: true });
});

const pick = (at) => item?.lines && item.picked === null && at < item.lines.length &&
  doing(async () => draw(await ask(item.number, { picked: at })));

const grade = (name) => item?.panel && doing(async () => {
  item = await ask(item.number, { grade: name });
  const next = item.number + 1;
  if (next < item.total) draw(await ask(next));
  else location.assign(`${base}result/`);
  scrollTo(0, 0);
});

function draw(found) {
  item = found;
  byId("heading").textContent = `Feature ${item.number + 1} of ${item.total}`;
  byId("graded").textContent = item.grade ? `graded ${item.grade}` : "";
  byId("done").value = item.number;
  byId("question").hidden = item.panel !== null;
  byId("panels").hidden = item.panel === null;
  byId("back").disabled = item.number === 0;
  byId("forward").textContent = item.number + 1 < item.total ? (item.grade ? "Next ›" : "Leave it for later ›") : "Result ›";
  for (const button of grades) button.setAttribute("aria-pressed", String(button.dataset.grade === item.grade));
  if (item.panel) drawPanels(item);
  else byId("lines").replaceChildren(...item.lines.map(line));
}

/** A line without colour, its token boxed. */
function line({ tokens, position }, at) {
  const sequence = { tokens, position, special: [], active: [], copies: 1 };
  const row = woken(sequenceRow(sequence, { maximum: 1, scale: 1 }));
  for (const token of row.querySelectorAll("[tabindex]")) token.removeAttribute("tabindex"); // the button is the stop
  return element("li", {}, element("button", { type: "button", onclick: () => pick(at) }, element("kbd", {}, String(at + 1)), row));
}

function drawPanels({ panel, why_none: whyNone }) {
  byId("why-none").textContent = panel.problem ?? whyNone;
  const parts = [byId("about"), byId("ends"), byId("examples")];
  for (const part of parts) part.hidden = Boolean(panel.problem);
  if (panel.problem) return;
  byId("about").textContent = `Density ${percent(panel.density)}${panel.count === null ? "" : `, on ${count(panel.count)} tokens`}; maximum ${figure(panel.maximum)}.`;
  const scale = logitScale(panel.logits);
  const end = (name, entries) => element("p", { class: "ends" }, element("span", { class: "muted" }, name), entries.map((entry) => chip(entry, scale)));
  byId("ends").replaceChildren(end("makes likelier", panel.logits.positive), end("makes less likely", panel.logits.negative));
  inParts(() => drawExamples(panel, "short"));
}

const forward = () => item && (item.number + 1 < item.total ? go(item.number + 1) : location.assign(`${base}result/`));
const back = () => item?.number && go(item.number - 1);
for (const button of grades) button.addEventListener("click", () => grade(button.dataset.grade));
byId("back").addEventListener("click", back);
byId("forward").addEventListener("click", forward);
tokenKeys(byId("examples"));
bindKeys([
  ...[1, 2, 3, 4, 5].map((n) => ({ keys: [String(n)], label: String(n), does: n < 4 ? `line ${n} is the stranger; then: ${grades[n - 1].dataset.grade}` : `line ${n} is the stranger`,
    run: () => (item?.panel ? n < 4 && grade(grades[n - 1].dataset.grade) : pick(n - 1)) })),
  { keys: ["ArrowLeft", "k"], label: "← k", does: "back", run: back },
  { keys: ["ArrowRight", "j"], label: "→ j", does: "leave it for later", run: forward },
]);
const wanted = Number(location.hash.slice(1)) - 1;
go(Number.isInteger(wanted) && wanted >= 0 && wanted < Number(total) ? wanted : Number(first));
