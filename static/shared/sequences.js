// How is a stretch of corpus or prompt drawn, coloured by one feature?

import { activationFill, fill, underline } from "./colours.js";
import { short_context } from "./definitions.js";
import { element, figure, visible } from "./text.js";

const WINDOWS = { short: short_context, medium: [32, 24], whole: [Infinity, Infinity] }; // tokens left and right
const FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]|[\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const places = new WeakMap(); // token node -> { sequence, position }
const asleep = new WeakMap(); // line -> functions that make tokens of its plain text

/** Which token a drawn node stands for: `{sequence, position}`, or undefined. */
export const tokenAt = (node) => places.get(node);

/** The feature's values on a token of a sequence (an entry of `sequence.active`), or undefined where inactive. */
export const activeAt = (sequence, position) => sequence.active.find((entry) => entry.position === position);

/** What is said of a special token: no figure counts it, so in the corpus nothing is kept of it. */
export const uncounted = (active) =>
  `Special token (BOS, EOS or the like): not counted in any figure${active ? "" : ", so whether the feature is active here is not kept"}.`;

/** The loss effect at which an underline has its full colour: the largest of these sequences, 0.05 nats at least. */
export function effectScale(sequences) {
  let largest = 0.05;
  for (const { active } of sequences)
    for (const { loss_effect } of active) largest = Math.max(largest, Math.abs(loss_effect ?? 0));
  return largest;
}

/**
 * A sequence as the pages draw it, from values per token (the prompt page has these). `lossEffects[p]` speaks of
 * the prediction of token p, so it is kept with the activation on p - 1; `special[p]` tells of BOS and the like.
 * `position` is the chosen token or null.
 */
export function asSequence({ tokens, ids, activations, lossEffects = [], special = [], position = null }) {
  const active = activations
    .map((activation, p) => ({ position: p, activation, loss_effect: lossEffects[p + 1] ?? null }))
    .filter((entry) => entry.activation);
  return { tokens, ids, position, special: special.flatMap((is, p) => (is ? [p] : [])), active };
}

/**
 * One sequence as a line of tokens. `maximum`: activation of full orange. `scale`: loss effect of full underline
 * (see effectScale). `context`: "short" and "medium" put the chosen token on one vertical line and clip at both
 * sides; "whole" shows every token as a paragraph. Tokens are found again with tokenAt. Tokens without colour are plain
 * text until the pointer or the focus comes to their line, or `woken` makes them nodes: most of a page is silent.
 */
export function sequenceRow(sequence, { maximum, scale, context = "short" }) {
  const activations = new Map(sequence.active.map((entry) => [entry.position, entry.activation]));
  const effects = new Map(sequence.active.map((entry) => [entry.position + 1, entry.loss_effect]));
  const told = (p) => token(sequence, p, activations.get(p) ?? 0, effects.get(p) ?? null, { maximum, scale });
  const silent = [];
  const draw = (from, to) => {
    const nodes = [];
    const last = Math.min(sequence.tokens.length, to);
    for (let p = Math.max(0, from); p < last; p++) {
      const start = p;
      while (p < last && p !== sequence.position && !activations.has(p) && !effects.has(p) && isPlain(sequence, p)) p++;
      if (p > start) {
        const text = document.createTextNode(sequence.tokens.slice(start, p).map(visible).join(""));
        silent.push(() => text.replaceWith(...Array.from({ length: p - start }, (_, i) => told(start + i))));
        nodes.push(text);
      }
      if (p < last) nodes.push(told(p));
    }
    return nodes;
  };
  const chosen = sequence.position;
  const [left, right] = WINDOWS[context];
  const line = context === "whole" || chosen === null
    ? element("div", { class: "sequence whole" }, draw(0, sequence.tokens.length))
    : element("div", { class: `sequence ${context}` },
      element("div", { class: "before" }, element("div", {}, draw(chosen - left, chosen))),
      element("div", { class: "after" }, draw(chosen, chosen + 1 + right)),
      sequence.copies > 1 && element("span", { class: "copies", title: `${sequence.copies} windows with this text, or nearly this` },
        `×${sequence.copies}`));
  asleep.set(line, silent);
  return line;
}

/** Whether a token looks the same as part of a longer text: special ones are muted, those written from right to left isolated. */
const isPlain = ({ tokens, special }, p) => !special.includes(p) && !FROM_THE_RIGHT.test(tokens[p]);

/** The line, each of its tokens a node. */
export function woken(line) {
  for (const wake of asleep.get(line) ?? []) wake();
  asleep.delete(line);
  return line;
}

/** A line wakes before anybody can mean one of its tokens. */
for (const arrival of ["pointerover", "pointerdown", "focusin"])
  document.addEventListener(arrival, ({ target }) => woken(target.closest?.(".sequence")), true);

/** What the chosen token says of its line: "“2”, activation 3.130, helps the next token by 0.1 nats; next comes “ is”". */
function heard(sequence) {
  const next = sequence.tokens[sequence.position + 1];
  return `${spoken(sequence, sequence.position)}${next === undefined ? "" : `; next comes “${visible(next)}”`}`;
}

/** What a token says to whoever does not see its colours: "“2”, activation 3.130, helps the next token by 0.1 nats". */
function spoken(sequence, position) {
  const active = activeAt(sequence, position);
  const effect = active?.loss_effect;
  return `“${visible(sequence.tokens[position])}”, ${active ? `activation ${figure(active.activation)}` : "not active"}` +
    (effect ? `, ${effect < 0 ? "helps" : "hurts"} the next token by ${figure(Math.abs(effect), 3)} nats` : "");
}

/** One token box; the chosen one is a button. The tab stop among several is set by oneStop, the others are reached by tokenKeys. */
function token(sequence, position, activation, effect, { maximum, scale }) {
  const chosen = position === sequence.position;
  const special = sequence.special.includes(position);
  const node = element("span", {
    class: "token" + (chosen ? " chosen" : "") + (special ? " special" : ""),
    tabindex: "-1",
    ...(chosen ? { role: "button", "aria-label": heard(sequence) } : {}),
    style: { ...activationFill(activation, maximum), ...(effect === null ? {} : underline(effect, scale)) },
  }, visible(sequence.tokens[position]));
  places.set(node, { sequence, position });
  return node;
}

/** Makes one token of a group of lines the tab stop: the first chosen one, unless `token` is given. */
export function oneStop(group, token = group.querySelector(".token.chosen") ?? group.querySelector(".token:not(.sample)")) {
  for (const other of group.querySelectorAll(".token[tabindex='0']")) other.tabIndex = -1;
  if (token) token.tabIndex = 0;
}

/**
 * Up and down move from chosen token to chosen token of `root`, Shift with left and right along the line. Where they have
 * moved to is the tab stop of its group, whose nodes match `group`.
 */
export function tokenKeys(root, group = ".group") {
  root.addEventListener("focusin", ({ target }) => {
    const place = places.get(target);
    if (!place) return;
    if (!target.hasAttribute("role")) { // one of thousands: it becomes a button when it is reached
      target.setAttribute("role", "button");
      target.setAttribute("aria-label", spoken(place.sequence, place.position));
    }
    oneStop(target.closest(group) ?? root, target);
  });
  root.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("token")) return;
    const sideways = event.shiftKey && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!sideways && !down) return;
    const among = sideways
      ? [...event.target.closest(".sequence").querySelectorAll(".token")]
      : [...root.querySelectorAll(".token.chosen")];
    const here = among.indexOf(sideways ? event.target : event.target.closest(".sequence").querySelector(".chosen"));
    const next = among[here + (sideways || down)];
    event.preventDefault();
    event.stopPropagation();
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  });
}

/** What the colours mean: of activations, of underlines. */
const told = (maximum, scale) => [` activation; full colour at ${figure(maximum)}`,
  ` underline: change in that token's loss; full colour at −${figure(scale, 2)} (helps) or +${figure(scale, 2)} nats (hurts)`];

/** Other numbers for a legend that is drawn. */
export const retell = (drawn, maximum, scale) => told(maximum, scale).forEach((words, i) => (drawn.children[i].lastChild.data = words));

/** What the colours mean, with their numbers. */
export function legend(maximum, scale) {
  const [ofActivations, ofUnderlines] = told(maximum, scale);
  const sample = (style, text) => element("span", { class: "token sample", style }, text);
  return element("p", { class: "legend" },
    element("span", {}, sample(fill(0.15), "weak"), sample(fill(0.5), "half"), sample(fill(1), "full"), ofActivations),
    element("span", {}, sample(underline(-scale, scale), "helps"), sample(underline(scale, scale), "hurts"), ofUnderlines),
    element("span", {}, element("span", { class: "token chosen sample" }, "boxed"), " the token this example was selected for"));
}
