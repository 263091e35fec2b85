// Which features act on this token? Ask without a reload; every question is an address.

import { hoverCard } from "../shared/card.js";
import { bindKeys } from "../shared/keys.js";
import { partsDrawer } from "../shared/parts.js";
import { followWork } from "../shared/progress.js";
import { legend, tokenAt, tokenKeys } from "../shared/sequences.js";
import { count, element, figure, ordinal, percent, visible } from "../shared/text.js";
import { fetchAnswer, newTicket } from "./asking.js";
import { dashboard, METRICS } from "./dashboard.js";
import { cellCard, heatmap } from "./heatmap.js";
import { LISTED, sideBySide } from "./side_by_side.js";
import { addStored } from "./stored.js";
import { fromAddress, queryOf, questionOf, sameText, SHOWN } from "./question.js";
import { tokenButtons, position as positionOf } from "./tokens.js";
import { tokenCard } from "./token_card.js";

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const setup = read("prompt-setup");
const features = document.querySelector("main").dataset.features;

let answer = null; // what is shown
let wanted = null; // what was asked last, answered or not: changes build on it
let sent = ""; // what the box held when it was last filled, or asked about
let comparing = null; // that of the two tokens side by side
let asking = null; // the latest question's AbortController
let buttons = null;
let boards = [];
let heat = null;
let heatOf = ""; // what it is drawn of
const inParts = partsDrawer((busy) => byId("answer").setAttribute("aria-busy", String(busy)));

// Questions

/** What the page's controls say of a text; its tokens stay chosen where it is the one that was asked about. */
function fromControls(text) {
  const said = { text, bos: byId("bos").checked, read: byId("read").value, max_density: density() };
  const { rank = "act_size", top = SHOWN, add = [], positions = [] } = wanted ?? {};
  return { ...said, rank, top, add, positions: sameText(said, wanted) ? positions : [] };
}

/** Ask; on success show the answer, and put its address into the history unless it came from there. */
async function ask(question, { remember = true } = {}) {
  asking?.abort();
  asking = new AbortController();
  const mine = asking;
  wanted = question;
  showWanted();
  byId("answer").classList.add("stale");
  const line = { ticket: newTicket(), full: "" }; // where the question stands, until it is answered
  const slow = setTimeout(() => watchModel(mine.signal, { line }), 250);
  try {
    const query = queryOf(question);
    query.set("stored", "0"); // what is the same for every prompt comes after that
    const found = await fetchAnswer(query, { ...setup, ticket: line.ticket, waits: (why) => (line.full = why) }, mine.signal);
    show(found);
    if (remember) pushAddress(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    fail(error);
    if (remember) pushAddress(question);
  } finally {
    clearTimeout(slow);
    if (mine === asking) {
      mine.abort(); // the watch over the model ends with its question
      asking = null;
      byId("model").textContent = "";
      byId("answer").classList.remove("stale");
    }
  }
}

function pushAddress(question) {
  const address = `?${queryOf(question)}`;
  const short = address.length < setup.longest_address;
  if (short && address !== location.search) history.pushState(null, "", address);
}

/** What was asked last, with other positions, ranking or density. Positions are those of the text that is shown. */
function change(changes) {
  if (!wanted) return;
  const { text, bos, read } = "positions" in changes && answer ? answer : wanted;
  return ask({ ...wanted, text, bos, read, ...changes });
}

/** The state of the model in words: until the signal, or until it is loaded where nothing else is waited for. */
async function watchModel(signal, { line = null } = {}) {
  const address = `${document.querySelector("main").dataset.model}?ticket=${line?.ticket ?? ""}`;
  while (!signal.aborted) {
    const state = await fetch(address, { signal }).then((r) => r.json()).catch(() => null);
    if (signal.aborted) return;
    const loading = ["loading", "cold"].includes(state?.state);
    byId("model").textContent = loading ? `Loading model … ${state.seconds.toFixed(1)} s` : line ? standing(line, state) : "";
    if (!loading && !line) return state?.state === "failed" && fail(new Error(state.error));
    await new Promise((resolve) => setTimeout(resolve, !line ? 200 : state?.place > 1 || line.full ? 1000 : 400));
  }
}

/** What a question waits for. */
const standing = (line, state) => line.full || (state?.place ? `${ordinal(state.place)} in line …` : "Analysing …");

/** Say what went wrong. What was answered before stays, dimmed; what may be answered later can be asked again. */
function fail(error) {
  byId("trouble").firstElementChild.textContent = error.message;
  byId("again").hidden = !(error.passing && wanted);
  byId("trouble").hidden = false;
  byId("former").hidden = !answer;
  byId("answer").classList.toggle("former", answer !== null);
  if (answer && !error.passing) wanted = questionOf(answer); // a refused question is nothing to build on
  showWanted();
}

function fill(text) {
  byId("text").value = sent = text;
  noteUnsent();
}

const unsent = () => byId("text").value !== sent;
const noteUnsent = () => (byId("unsent").hidden = !answer || !unsent());

// The page

/** An answer: tokens and the ranking, with what each feature does in the prompt, at once; all else in parts after that was painted. */
function show(found) {
  answer = found;
  wanted = { ...questionOf(found), add: found.add ?? [] };
  byId("trouble").hidden = byId("former").hidden = true;
  byId("answer").classList.remove("former");
  byId("quick").textContent = found.quick;
  byId("quick").hidden = !found.quick;
  byId("answer").hidden = false;
  byId("examples").open = false;
  byId("bos").checked = found.bos;
  byId("read").value = found.read;
  byId("beyond").textContent = found.beyond_training;
  byId("beyond").hidden = !found.beyond_training;
  if (unsent()) noteUnsent(); // what somebody is typing stays
  else fill(found.text);
  setDensity(found.max_density);
  showLook();
  byId("json").href = `?${queryOf(found)}&format=json`;
  byId("json").hidden = false;
  document.title = `${visible(found.text).slice(0, 40)} – ${METRICS[found.rank].name} – saeviz`;
  inParts(parts);
}

function* parts() {
  byId("boards").style.minHeight = `${byId("boards").offsetHeight}px`; // what stands below stays where it is
  showTokens();
  showRanks();
  showWanted();
  showSummary();
  showBoards();
  showMore();
  yield;
  const coming = addStored(`${features}stored.json`, answer.dashboards);
  showOverview();
  showCompared();
  yield coming;
  yield* storedParts();
  byId("boards").style.minHeight = "";
}

/** What is stored of each; where the site did not answer, it can be asked again. */
function* storedParts() {
  for (const board of boards) {
    board.drawStored(() => inParts(function* () {
      yield addStored(`${features}stored.json`, answer.dashboards);
      yield* storedParts();
    }));
    yield;
  }
}

/** What to look at, as long as the text is that of an example. */
function showLook() {
  const links = [...byId("examples").querySelectorAll("a")];
  const example = links.find((link) => new URLSearchParams(link.search).get("text") === answer.text);
  byId("look").textContent = example?.nextElementSibling.textContent ?? "";
  byId("look").hidden = !example;
}

function showTokens() {
  const focused = positionOf(document.activeElement) !== null;
  buttons = tokenButtons(answer, (positions) => change({ positions }), () => byId("several").checked);
  byId("tokens").replaceChildren(buttons.node);
  if (focused) buttons.node.querySelector("[tabindex='0']").focus();
}

function showRanks() {
  const place = byId("ranks");
  if (!place.childElementCount)
    place.append(...Object.entries(METRICS).map(([rank, { name }]) =>
      element("button", { type: "button", "data-rank": rank, onclick: () => change({ rank }) }, name)));
}

/** What was asked for is pressed at once, before it is answered. */
function showWanted() {
  if (!wanted) return;
  for (const button of byId("ranks").children) button.setAttribute("aria-pressed", String(button.dataset.rank === wanted.rank));
  if (sameText(wanted, answer) && wanted.positions.length) buttons?.press(wanted.positions.map(Number));
}

const tokenSample = (p) => element("span", { class: "token" }, visible(answer.tokens[p]));

function showSummary() {
  const { ranking, note } = answer;
  byId("empty").textContent = note;
  byId("empty").hidden = !note;
  byId("summary").hidden = !ranking.length;
  if (ranking.length) byId("summary").replaceChildren(...summary(answer).flat(2));
}

/** "Token 13 [1], loss 0.592 nats. 10 of the 25 features active on the previous token, which predicts this one. Negative …" */
function summary({ positions, rank, ranking, active, losses }) {
  const one = positions.length === 1;
  const loss = rank === "loss_effect" && one ? losses[positions[0]] : null;
  const few = ranking.length < active ? `${ranking.length} of the ${count(active)} features` : `All ${count(active)} features`;
  const where = rank !== "loss_effect" ? (one ? "on this token" : "on these tokens")
    : one ? "on the previous token, which predicts this one" : "on the previous tokens, which predict these";
  const order = METRICS[rank].order;
  return [
    one ? "Token " : "Tokens ", positions.map((p, at) => [at ? ", " : "", `${p} `, tokenSample(p)]),
    loss === null ? "" : `, loss ${figure(loss, 3)} nats`, ". ",
    `${few} active ${where}. ${order[0].toUpperCase()}${order.slice(1)}.${one ? "" : ` ${METRICS[rank].together} the ${positions.length} chosen tokens.`}`,
  ];
}

function showBoards() {
  const found = new Map(answer.dashboards.map((board) => [board.feature, board]));
  const ranked = new Set(answer.ranking.map(({ feature }) => feature));
  const added = answer.added.filter(({ feature }) => !ranked.has(feature));
  boards = [...answer.ranking, ...added].map((score) => dashboard(answer, score, found.get(score.feature), features,
    "place" in score ? () => (byId("add-feature").focus(), change({ add: wanted.add.filter((feature) => feature !== score.feature) })) : null));
  byId("boards").replaceChildren(...boards.map(({ node }) => node));
  byId("legend").replaceChildren(...(boards.length ? [legendOf()] : []));
}

/** Two chosen tokens, each by itself, once both are answered; a question asked meanwhile takes over. */
async function showCompared() {
  const { positions } = answer;
  const [mine, place] = [answer, byId("compared").querySelector(".fill")];
  comparing?.abort();
  const { signal } = (comparing = new AbortController());
  byId("compared").hidden = positions.length !== 2;
  place.replaceChildren(element("p", { class: "muted" }, "Asking for each …"));
  if (positions.length !== 2) return;
  const asked = positions.map((position) => {
    const query = queryOf({ ...questionOf(mine), positions: [position], top: LISTED, add: [] });
    query.set("dashboards", "0");
    return fetchAnswer(query, setup, signal);
  });
  const nodes = await Promise.all(asked).then((answers) => sideBySide(answers, features), (error) => [
    element("p", { class: "notice" }, `${error.message} `, element("button", { type: "button", onclick: showCompared }, "Try again"))]);
  if (answer === mine && !signal.aborted) place.replaceChildren(...nodes);
}

/** Drawn anew where it is of another text; a cell that had the focus has it again. */
function showOverview() {
  byId("overview").hidden = !answer.overview.features.length;
  const { overview, tokens, special } = answer;
  const drawn = JSON.stringify([overview, tokens, special]);
  if (heat && drawn === heatOf) return heat.choose(answer.positions);
  heatOf = drawn;
  const at = heat?.focused() ?? null;
  heat = heatmap(answer, features, (positions) => change({ positions }));
  byId("overview").querySelector(".fill").replaceChildren(heat.node);
  if (at) heat.focus(at);
}

/** Whether more of the ranking can be shown. */
function showMore() {
  const { ranking, active, top, most } = answer;
  const next = Math.min(top + SHOWN, most);
  byId("more").hidden = ranking.length < top || ranking.length >= active || next === top;
  byId("more").textContent = `${next - top} more`;
  byId("more").onclick = async () => {
    await change({ top: next });
    boards[top]?.node.querySelector("a").focus(); // the first of those that came
  };
}

function legendOf() {
  const made = legend(1, 1);
  const [activation, effect, chosen] = made.children;
  activation.lastChild.textContent = " activation; full colour at the feature's maximum on the corpus";
  effect.lastChild.textContent = " underline: change in that token's loss; full colour at the column's largest";
  chosen.lastChild.textContent = " the token asked about; in the corpus, the top activation";
  return made;
}

// Pointing at a token or a feature shows both in each other

function pointToken(p) {
  buttons.point(p);
  heat?.point(p);
  for (const board of boards) {
    const activation = p === null ? 0 : board.board.activations[p] ?? 0;
    board.point(p);
    board.node.classList.toggle("asleep", p !== null && !activation && !board.board.loss_effects[p]);
    p === null ? board.unmark() : board.mark(activation);
  }
}

function pointFeature(feature) {
  const found = boards.find(({ board }) => board.feature === feature)?.board;
  const at = answer.overview.features.indexOf(feature);
  buttons.colour(found?.activations ?? answer.overview.activations[at], found?.maximum ?? answer.overview.maxima[at]);
  for (const { node, board } of boards) node.classList.toggle("pointed", board.feature === feature);
  for (const row of byId("overview").querySelectorAll("tr[data-feature]")) row.classList.toggle("pointed", Number(row.dataset.feature) === feature);
}

/** Token button, token of a prompt line or cell of the overview -> its position in the prompt; else null. */
function promptPosition(node) {
  const line = node.closest?.(".prompt-line .token");
  const at = node.closest?.("[data-at]")?.dataset.at;
  return line ? tokenAt(line).position : at !== undefined ? Number(at) : positionOf(node);
}

function watchPointer(root) {
  const look = (event) => {
    if (!answer) return;
    const feature = event.target.closest?.("[data-feature]")?.dataset.feature;
    pointToken(promptPosition(event.target));
    pointFeature(feature === undefined ? null : Number(feature));
  };
  const leave = () => answer && (pointToken(null), pointFeature(null));
  root.addEventListener("pointerover", look);
  root.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && look(event));
  root.addEventListener("pointerleave", leave);
  root.addEventListener("focusout", leave);
}

// Controls

const density = () => Number(((Number(byId("density").value) / 100) ** 3).toPrecision(6)); // cubic: most features are very sparse
const densityText = (share) => (share >= 1 ? "any" : percent(share, 2));

function setDensity(share) {
  byId("density").value = Math.round(Math.cbrt(share) * 100);
  byId("density-value").textContent = densityText(share);
}

function watchDensity() {
  let timer = null;
  byId("density").addEventListener("input", () => {
    byId("density-value").textContent = densityText(density());
    clearTimeout(timer);
    timer = setTimeout(() => change({ max_density: density() }), 250);
  });
}

function watchForm() {
  const submit = (event) => {
    event.preventDefault();
    const question = fromControls(byId("text").value);
    fill(question.text);
    ask(question);
  };
  byId("ask").addEventListener("submit", submit);
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  byId("text").addEventListener("input", noteUnsent);
  byId("again").addEventListener("click", () => (byId("text").focus(), ask(wanted)));
  byId("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const number = byId("add-feature").value.trim().replace("#", "");
    if (!/^\d+$/.test(number) || !wanted) return byId("add-feature").focus();
    byId("add-feature").value = "";
    change({ add: [...new Set([...wanted.add, Number(number)])] });
  });
  for (const name of ["bos", "read"])
    byId(name).addEventListener("change", () => wanted && ask({ ...fromControls(wanted.text), positions: [] }));
  byId("examples").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    sent = byId("text").value; // chosen instead of what was typed
    askAddress(link.search);
  });
}

/** Ask what an address says. */
function askAddress(search, options) {
  const query = new URLSearchParams(search);
  const text = query.get("text");
  if (text === null) return location.reload();
  if (!unsent()) fill(text);
  return ask(fromAddress(query), options);
}

/** From the token that was asked about last: who presses twice goes two tokens on, however slow the answer. */
const step = (by) => {
  if (!answer) return;
  const next = Number((sameText(wanted, answer) && wanted.positions.at(-1)) ?? answer.position) + by;
  if (answer.tokens[next] !== undefined) change({ positions: [next] });
};

function start() {
  const data = read("prompt-data");
  sent = byId("text").value;
  watchForm();
  watchDensity();
  setDensity(data?.max_density ?? 1);
  watchPointer(byId("answer"));
  hoverCard(byId("boards"), { selector: ".token", describe: (node) => tokenCard(node, { answer, boards, features }), pins: true });
  hoverCard(byId("overview"), { selector: ".cell", describe: cellCard });
  tokenKeys(byId("boards"), ".board");
  window.addEventListener("popstate", () => askAddress(location.search, { remember: false }));
  bindKeys([
    { keys: ["ArrowLeft", "k"], label: "← k", does: "previous token", run: () => step(-1) },
    { keys: ["ArrowRight", "j"], label: "→ j", does: "next token", run: () => step(1) },
    ...Object.entries(METRICS).map(([rank, { name }], at) => ({ keys: [String(at + 1)], label: String(at + 1), does: `rank by ${name}`, run: () => change({ rank }) })),
    { keys: ["/"], label: "/", does: "to the prompt", run: () => byId("text").focus() },
  ]);
  const progress = byId("progress");
  if (progress) followWork(progress);
  if (data?.ranking) show(data);
  else if (data) ask(data, { remember: false });
  else if (setup.warming) watchLoad();
}

/** Tell how the load goes that the visit has begun; the first question takes over. */
function watchLoad() {
  asking = new AbortController();
  watchModel(asking.signal);
}

start();
