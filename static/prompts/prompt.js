// Which features act on this token? Ask without a reload; every question is an address.

import { facts, hoverCard } from "../shared/card.js";
import { bindKeys } from "../shared/keys.js";
import { followWork } from "../shared/progress.js";
import { activeAt, legend, tokenAt, tokenKeys, uncounted } from "../shared/sequences.js";
import { count, element, figure, percent, quantileText, signed, visible } from "../shared/text.js";
import { fetchAnswer } from "./asking.js";
import { dashboard, METRICS } from "./dashboard.js";
import { heatmap } from "./heatmap.js";
import { tokenButtons, position as positionOf } from "./tokens.js";

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);
const setup = read("prompt-setup");
const features = document.querySelector("main").dataset.features;

let answer = null; // what is shown
let asking = null; // the latest question's AbortController
let buttons = null;
let boards = [];
let heat = null;

// Questions

const questionOf = ({ text, bos, read, positions, rank, max_density }) => ({ text, bos, read, positions, rank, max_density });

/** The query string of a question, as views.py writes it. */
function queryOf({ text, bos, read, positions, rank, max_density: density }) {
  const query = new URLSearchParams({ text });
  if (positions?.length) query.set("position", positions.join(","));
  query.set("rank", rank);
  if (!bos) query.set("bos", "0");
  if (read && read !== "text") query.set("read", read);
  if (density < 1) query.set("max_density", String(density));
  return query;
}

/** What the page's controls say, for a text that has no answer yet. */
const fromControls = (text) => ({ text, bos: byId("bos").checked, read: byId("read").value, positions: [], rank: answer?.rank ?? "act_size", max_density: density() });

/** Ask; on success show the answer, and put its address into the history unless it came from there. */
async function ask(question, { remember = true } = {}) {
  asking?.abort();
  asking = new AbortController();
  const mine = asking;
  byId("answer").classList.add("stale");
  const slow = setTimeout(() => watchModel(mine.signal), 250);
  try {
    const found = await fetchAnswer(queryOf(question), setup, mine.signal);
    show(found);
    if (remember) pushAddress(found);
  } catch (error) {
    if (error.name === "AbortError") return;
    refuse(error.message);
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

/** The answer with other positions, ranking or density: the text stays. */
const change = (changes) => answer && ask({ ...questionOf(answer), ...changes });

/** The state of the model in words: until the signal, or until it is loaded where nothing else is waited for. */
async function watchModel(signal, { busy = true } = {}) {
  const place = byId("model");
  while (!signal.aborted) {
    const state = await fetch(document.querySelector("main").dataset.model, { signal }).then((r) => r.json()).catch(() => null);
    if (signal.aborted) return;
    const loading = ["loading", "cold"].includes(state?.state);
    place.textContent = loading ? `Loading model … ${state.seconds.toFixed(1)} s` : busy ? "Analysing …" : "";
    if (!loading && !busy) return state?.state === "failed" && refuse(state.error);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function refuse(sentence) {
  byId("trouble").textContent = sentence;
  byId("trouble").hidden = false;
  byId("answer").hidden = true;
  answer = null;
}

// The page

function show(found) {
  answer = found;
  byId("trouble").hidden = true;
  byId("quick").textContent = found.quick;
  byId("quick").hidden = !found.quick;
  byId("answer").hidden = false;
  byId("examples").open = false;
  byId("bos").checked = found.bos;
  byId("read").value = found.read;
  byId("beyond").textContent = found.beyond_training;
  byId("beyond").hidden = !found.beyond_training;
  if (byId("text").value !== found.text && document.activeElement !== byId("text")) byId("text").value = found.text;
  setDensity(found.max_density);
  showLook();
  showTokens();
  showRanks();
  showSummary();
  showBoards();
  heat = heatmap(found, features, (positions) => change({ positions }));
  byId("overview").querySelector(".fill").replaceChildren(heat.node);
  byId("overview").hidden = !found.overview.features.length;
  byId("json").href = `?${queryOf(found)}&format=json`;
  byId("json").hidden = false;
  document.title = `${visible(found.text).slice(0, 40)} – ${METRICS[found.rank].name} – saeviz`;
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
  for (const button of place.children) button.setAttribute("aria-pressed", String(button.dataset.rank === answer.rank));
}

const tokenSample = (p) => element("span", { class: "token" }, visible(answer.tokens[p]));

function showSummary() {
  const { ranking, note } = answer;
  byId("empty").textContent = note;
  byId("empty").hidden = !note;
  byId("summary").hidden = !ranking.length;
  if (ranking.length) byId("summary").replaceChildren(...summary(answer).flat(2));
}

/** "Token 13 [1], loss 0.592 nats. 10 of the 25 features active on the token before it, most helpful first …" */
function summary({ positions, rank, ranking, active, losses }) {
  const one = positions.length === 1;
  const loss = rank === "loss_effect" && one ? losses[positions[0]] : null;
  const few = ranking.length < active ? `${ranking.length} of the ${count(active)} features` : `All ${count(active)} features`;
  const where = rank !== "loss_effect" ? (one ? "on it" : "on them") : one ? "on the token before it" : "on the tokens before them";
  return [
    one ? "Token " : "Tokens ", positions.map((p, at) => [at ? ", " : "", `${p} `, tokenSample(p)]),
    loss === null ? "" : `, loss ${figure(loss, 3)} nats`, ". ",
    `${few} active ${where}, ${METRICS[rank].order}${one ? "" : `, ${METRICS[rank].together} over the tokens`}.`,
  ];
}

function showBoards() {
  const found = new Map(answer.dashboards.map((board) => [board.feature, board]));
  boards = answer.ranking.map((score) => dashboard(answer, score, found.get(score.feature), features));
  byId("boards").replaceChildren(...boards.map(({ node }) => node));
  byId("legend").replaceChildren(...(boards.length ? [legendOf()] : []));
}

function legendOf() {
  const made = legend(1, 1);
  const [activation, effect, chosen] = made.children;
  activation.lastChild.textContent = " activation, full = the feature's maximum on the corpus";
  effect.lastChild.textContent = " loss effect on the token above the line, full = the column's largest";
  chosen.lastChild.textContent = " the token asked about; in the corpus, the top activation";
  return made;
}

// Pointing at a token or a feature shows both in each other

function pointToken(p) {
  buttons.point(p);
  heat.point(p);
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
  for (const row of heat.node.querySelectorAll("tr[data-feature]")) row.classList.toggle("pointed", Number(row.dataset.feature) === feature);
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

/** Counted tokens of the statistics of the dashboard that a node stands in. */
const tokensOf = (node) => boards.find((board) => board.node.contains(node))?.board.tokens;

/** The card of a token in a dashboard. */
function describe(node) {
  const { sequence, position } = tokenAt(node) ?? {};
  if (!sequence) return null;
  const here = activeAt(sequence, position);
  const before = activeAt(sequence, position - 1);
  const special = sequence.special.includes(position);
  return element("div", {}, element("strong", {}, "“", element("bdi", {}, visible(sequence.tokens[position])), "”"),
    element("span", { class: "muted" }, ` id ${sequence.ids[position]}${sequence.row === undefined ? `, token ${position}` : `, row ${count(sequence.row)}`}`),
    special && element("div", {}, uncounted(here || sequence.row === undefined)),
    facts([
      ["Activation", here ? figure(here.activation) : special && sequence.row !== undefined ? null : "0"],
      ["Quantile", here?.quantile === undefined ? null : quantileText(here.quantile, tokensOf(node))],
      ["Loss effect on this token", before?.loss_effect == null ? null : `${signed(before.loss_effect)} nats`],
      ["Loss effect on the next", here?.loss_effect == null ? null : `${signed(here.loss_effect)} nats`],
    ]));
}

// Controls

const density = () => (Number(byId("density").value) / 100) ** 3; // cubic: most features are very sparse
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
    timer = setTimeout(() => change({ max_density: Number(density().toPrecision(6)) }), 250);
  });
}

function watchForm() {
  const submit = (event) => {
    event.preventDefault();
    ask(fromControls(byId("text").value));
  };
  byId("ask").addEventListener("submit", submit);
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  for (const name of ["bos", "read"])
    byId(name).addEventListener("change", () => answer && ask(fromControls(answer.text)));
  byId("examples").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    askAddress(link.search);
  });
}

/** Ask what an address says. */
function askAddress(search, options) {
  const query = new URLSearchParams(search);
  const text = query.get("text");
  byId("text").value = text ?? "";
  if (text === null) return location.reload();
  return ask({
    text,
    bos: query.get("bos") !== "0",
    read: query.get("read") ?? "text",
    positions: query.get("position")?.split(",") ?? [],
    rank: query.get("rank") ?? "act_size",
    max_density: Number(query.get("max_density") ?? 1),
  }, options);
}

const step = (by) => {
  const next = answer && answer.position + by;
  if (answer?.tokens[next] !== undefined) change({ positions: [next] });
};

function start() {
  const data = read("prompt-data");
  watchForm();
  watchDensity();
  setDensity(data?.max_density ?? 1);
  watchPointer(byId("answer"));
  hoverCard(byId("boards"), { selector: ".token", describe, pins: true });
  tokenKeys(byId("boards"));
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
  watchModel(asking.signal, { busy: false });
}

start();
