// The page of one feature: draws what the server embedded, then follows its reader from feature to feature.

import { drawAnalysis } from "./analysis.js";
import { claimForm, claimsPanel } from "./claims.js";
import { drawDescription } from "./description.js";
import { drawExamples, drawTopLines, tokenCards } from "./examples.js";
import { drawActivations, drawDensity, drawLogits, drawRelatives } from "./figures.js";
import { drawTokens } from "./tokens.js";
import { traveller } from "./travel.js";
import { dense_above } from "../shared/definitions.js";
import { judgePanel } from "../judge/panel.js";
import { bindKeys } from "../shared/keys.js";
import { previewCards } from "../shared/links.js";
import { recall, remember } from "../shared/memory.js";
import { partsDrawer } from "../shared/parts.js";
import { tokenKeys } from "../shared/sequences.js";
import { count, element, percent } from "../shared/text.js";

const CONTEXTS = { short: "short", medium: "medium", whole: "whole row" };
const WIDER = Object.keys(CONTEXTS);
const byId = (id) => document.getElementById(id);
const { base, tryBox, strip } = byId("main").dataset;
const query = location.search;

let data = JSON.parse(byId("feature-data").textContent);
let marks = {};
let tried = null; // the box to try a text in, where the site has one
let training = null; // the feature through its training run, where the SAE is a checkpoint of one
let context = recall("context", "short") in CONTEXTS ? recall("context", "short") : "short";
const judge = judgePanel(data.sae.slug);
const closeCard = tokenCards(byId("examples"), () => ({ data, marks }));
const closeTried = tokenCards(byId("try-text"), () => ({ data, marks }));
const previews = previewCards(byId("columns"));
const claims = claimsPanel(byId("claims"));
const asking = byId("claims").querySelector("form");
let pattern = null; // what draws one on the examples, once somebody wants that

const inParts = partsDrawer((busy) => byId("columns").setAttribute("aria-busy", String(busy)));

/** A whole feature: what a reader looks at first at once, all else in parts once that was painted. */
function show(next) {
  data = next;
  marks = {};
  closeCards();
  byId("main").classList.remove("passing");
  byId("trouble").hidden = true;
  byId("missing").hidden = !data.missing;
  byId("quick").textContent = data.quick;
  byId("quick").hidden = !data.quick;
  byId("columns").classList.toggle("bare", data.missing);
  byId("problem").textContent = data.problem ?? "";
  byId("problem").hidden = !data.problem;
  byId("missing").lastElementChild.hidden = Boolean(data.problem); // figures are there, only not to be read now
  inParts(parts);
}

function* parts() {
  drawHead();
  drawAddress();
  judge.show(data.index);
  byId("claims").hidden = data.missing;
  if (!data.missing) {
    marks.activation = drawActivations(data);
    const examples = drawExamples(data, context);
    examples.next();
    yield;
    claims.show(data);
    asking.action = `${base}${data.index}/claims/`;
    marks.logit = drawLogits(data);
    yield;
    drawAnalysis(data);
    drawTokens(data, base, query);
    yield;
    drawRelatives(data, base, query);
    yield* examples;
  }
  yield;
  tried?.show(data);
  training?.show(data);
  pattern?.show(data, base);
}

/** A feature that the slider passes: heading, density and top lines; all else is hidden until the slider rests. */
function pass(next) {
  closeCards();
  if (!byId("main").classList.contains("passing")) inParts(function* () { byId("main").classList.add("passing"); }); // no part of the one before comes after this
  byId("columns").classList.toggle("bare", next.missing);
  marks = {};
  if (!next.missing) {
    drawDensity(next);
    drawTopLines(next, context);
  }
  drawHeading(next);
}

function closeCards() {
  closeCard();
  closeTried();
  previews.close();
}

/** Number, badges and the link that say which feature it is, and how it is described. */
function drawHeading({ index, density, dead, dense, twins, swarm, common_direction: common, only, description }) {
  byId("heading").textContent = `Feature #${index}`;
  byId("json").href = `${base}${index}.json`;
  byId("badges").replaceChildren(...[
    dead && element("span", { class: "badge" }, "dead"),
    dense && element("span", { class: "badge warn", title: `Fires on more than ${percent(dense_above, 2)} of tokens` }, `dense: fires on ${percent(density)} of tokens`),
    twins && element("a", { class: "badge", href: `${base}?twin=${twins.first}`, title: "Decoder cosine or correlation above 0.9, to each other or by way of others" }, `1 of ${count(twins.count)} alike`),
    swarm && element("a", { class: "badge warn", href: `${base}?show=swarm`, title: "Where it is strongest many others are, too: they fire on the same few tokens" }, "in a swarm"),
    ...(only ?? []).map(([name, words]) => element("a", { class: "badge", href: `${base}?show=${name}` }, words)),
    common && element("a", { class: "badge warn", href: `${base}?show=common`, title: "Its encoder has a cosine above 0.5 with the one direction that many encoders share" }, "common encoder direction"),
  ].filter(Boolean));
  drawDescription({ index, description }, byId("description"));
}

/** What stands around the figures: the heading, the controls, the list that is followed, what was found out. */
function drawHead() {
  drawHeading(data);
  drawListed();
  drawFinding();
}

/** Title, links and controls that say where we are. */
function drawAddress() {
  document.title = `#${data.index} – ${data.sae.name} – saeviz`;
  byId("nav-feature").href = location.pathname + query;
  byId("compare").href = `${base}${data.index}/compare/`;
  byId("beside").href = `${base}${data.index}/beside/`;
  if (document.activeElement !== byId("slider")) byId("slider").value = data.index;
  if (document.activeElement !== byId("number")) byId("number").value = data.index;
  for (const side of ["previous", "next"]) {
    const index = data[side];
    const link = byId(side);
    link.setAttribute("aria-disabled", String(index === null));
    if (index === null) link.removeAttribute("href");
    else link.href = `${base}${index}/${query}`;
  }
}

/** Which list previous and next follow, and where in it this feature stands. */
function drawListed() {
  const { listed } = data;
  byId("listed").hidden = !listed;
  if (!listed) return;
  const where = listed.number ? `${count(listed.number)} of ${count(listed.total)}` : `not in it; it has ${count(listed.total)}`;
  byId("listed").replaceChildren(`Browsing ${listed.words}: ${where}. `, element("a", { href: listed.row }, "Back to the table"), " · ",
    element("a", { href: location.pathname }, "Browse all"));
}

/** What somebody has found out about this feature. */
function drawFinding() {
  const { finding } = data;
  byId("finding").hidden = !finding;
  if (finding) byId("finding").replaceChildren(element("strong", {}, finding.name), finding.sentence ? `. ${finding.sentence} ` : "",
    finding.look_at && element("span", { class: "muted" }, `Look at: ${finding.look_at}`));
}

const travel = traveller({
  base, query, first: data, show, pass,
  context: () => context,
  wait: (stale) => byId("columns").classList.toggle("stale", stale),
  fail(error, again) {
    show(data); // in place of what was passed
    byId("trouble").replaceChildren(`${error.message} What is shown is feature #${data.index}. `,
      element("button", { type: "button", onclick: () => (toHeading(), again()) }, "Try again"));
    byId("trouble").hidden = false;
  },
});

/** Where a reader goes on by keyboard after what had the focus is gone. */
const toHeading = () => byId("heading").focus({ preventScroll: true });
const step = (side) => data[side] !== null && travel.go(data[side]);
const onPlainClick = (id, run) => byId(id).addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // a new tab, as with any link
  event.preventDefault();
  run();
});
onPlainClick("previous", () => step("previous"));
onPlainClick("next", () => step("next"));
onPlainClick("random", () => travel.random());
onPlainClick("random-any", () => travel.random("all"));
byId("go").addEventListener("submit", (event) => {
  event.preventDefault();
  travel.go(Number(byId("number").value));
  toHeading();
});
byId("columns").addEventListener("click", (event) => {
  const link = event.target.closest(".feature-link");
  if (!link?.pathname.startsWith(base)) return; // those of another SAE are other pages
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  previews.close();
  toHeading(); // the link goes away with its feature
  travel.go(Number(link.dataset.index));
});

byId("slider").addEventListener("input", () => {
  byId("number").value = byId("slider").value;
  travel.dragTo(Number(byId("slider").value));
});
byId("slider").addEventListener("change", () => travel.drop());

for (const [name, text] of Object.entries(CONTEXTS)) {
  const button = element("button", { type: "button", "aria-pressed": String(name === context) }, text);
  button.addEventListener("click", () => {
    context = name;
    remember("context", name);
    for (const other of byId("context").children) other.setAttribute("aria-pressed", String(other === button));
    if (WIDER.indexOf(data.context) < WIDER.indexOf(name)) return travel.reload(data.index); // more of the rows
    closeCard();
    inParts(function* () {
      yield* drawExamples(data, context);
      pattern?.mark();
    });
  });
  byId("context").append(button);
}

asking.addEventListener("submit", async (event) => {
  if (!event.submitter?.classList.contains("draw")) return; // Enter draws, as the first button does: nothing is claimed by it
  event.preventDefault();
  const { drawnPattern } = await import("./explained.js");
  pattern ??= drawnPattern(asking, byId("examples"));
  pattern.show(data, base);
});
if (asking.dataset.csrf)
  claimForm(asking, (answer) => {
    data.claims = answer.claims;
    claims.show(data);
    asking.note.value = "";
  });
tokenKeys(byId("examples"));
bindKeys([
  { keys: ["ArrowLeft", "k"], label: "← k", does: "previous feature", run: () => step("previous") },
  { keys: ["ArrowRight", "j"], label: "→ j", does: "next feature", run: () => step("next") },
  { keys: ["r"], label: "r", does: "random feature worth reading", run: () => travel.random() },
  { keys: ["R"], label: "Shift r", does: "any feature, each as likely", run: () => travel.random("all") },
  { keys: ["g"], label: "g", does: "go to a number", run: () => (byId("number").focus(), byId("number").select()) },
  { keys: ["/"], label: "/", does: "search the table", run: () => location.assign(`${base}${query}#search`) },
  { keys: ["s"], label: "s", does: "star this feature", run: judge.star },
  { keys: ["l"], label: "l", does: "label it", run: judge.label },
  ...["clear", "partly", "unclear"].map((name, n) => ({ keys: [String(n + 1)], label: String(n + 1), does: `grade it ${name}`, run: () => judge.grade(n) })),
  { label: "↑ ↓", does: "from example to example, once a token has the focus" },
  { label: "Shift ← →", does: "from token to token in an example" },
  { label: "click Enter", does: "pin a token's card" },
  { label: "Esc", does: "unpin it" },
]);

if (byId("progress"))
  import("../shared/progress.js").then(({ watchWork }) => watchWork(byId("progress"), {
    done: () => travel.reload(data.index),
    // Quick results come some at a time.
    seen: (work) => work.showing === "quick" && data.missing && !data.problem && travel.reload(data.index),
  }));
show(data);
if (!data.missing && WIDER.indexOf(data.context) < WIDER.indexOf(context)) travel.reload(data.index);
if (strip)
  import(strip).then((module) => {
    training = module.strip(byId("training"), base);
    if (byId("columns").ariaBusy === "false") training.show(data); // else it is among the parts to come
  });
if (tryBox)
  import(tryBox).then((module) => {
    tried = module.tryBox(byId("try-text"), base);
    tried.show(data);
  });
