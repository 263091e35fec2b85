// How are tokens and numbers written on the pages?

import { few, invisible } from "./definitions.js";
import { element } from "./element.js";

export { element };

const escaped = (code) => `\\u{${code.toString(16)}}`;
const INVISIBLE = new RegExp(`[${invisible.ranges.map(([a, b]) => `${escaped(a)}-${escaped(b)}`).join("")}]`, "gu");

/** A token or run of text with all that cannot be seen spelled, as features/engine/text/invisible.py does; spaces stay. */
export const visible = (text) => text.replace(INVISIBLE, spelled);

function spelled(character) {
  const code = character.codePointAt(0);
  if (invisible.pictures[character]) return invisible.pictures[character];
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** One token standing alone: its outer spaces are drawn as faint dots, so that " the" and "the" differ. */
export function loneToken(text) {
  const [, before, middle, after] = text.match(/^( *)([\s\S]*?)( *)$/);
  const dots = (spaces) => spaces && element("span", { class: "space" }, "·".repeat(spaces.length));
  return element("span", { class: "lone" }, dots(before), visible(middle) || (text ? "" : "∅"), dots(after));
}

/** 12345 -> "12,345". */
export const count = (n) => n.toLocaleString("en-US");

const minus = (text) => text.replace("-", "−");

/** A figure with about `digits` significant digits, never in scientific notation above 1e-5. */
export function figure(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -5) return minus(value.toExponential(digits - 2));
  return minus(value.toFixed(Math.min(8, Math.max(0, digits - 1 - size))));
}

/** 3 as "3rd". */
export const ordinal = (n) => `${n}${[11, 12, 13].includes(n % 100) ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th"}`;

/** The same with its sign always shown: "+0.41", "−1.32". */
export const signed = (value, digits = 3) => (value > 0 ? "+" : "") + figure(value, digits);

/** A fixed number of decimals with a sign, for columns that line up. */
export function column(value, decimals = 2) {
  if (value === null || value === undefined) return "–";
  return (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(decimals);
}

/** A share as per cent with `digits` significant digits: 0.000123 -> "0.0123 %". */
export function percent(share, digits = 3) {
  if (share === null || share === undefined) return "–";
  if (share === 0) return "0 %";
  if (share >= 0.9995) return (share * 100).toFixed(2) + " %";
  return figure(share * 100, digits) + " %";
}

/** On how many of the `tokens` something is: a share, or so few that a share would feign digits, the count. */
export const ofTokens = (n, tokens) => (n && n < few ? `${count(n)} of ${count(tokens)} tokens` : percent(n / tokens));

const EXACT_TAIL = 51; // tokens: longer tails are known to 1 %, see features/engine/activity/quantiles.py

/**
 * An activation quantile of so many counted `tokens`, with as many digits as tell it from 100 %: "99.99871 %", and no
 * digit that is worth less than 1 % of the tail 1 - q where that is not exact.
 */
export function quantileText(q, tokens) {
  if (q === null || q === undefined) return "–";
  if (q >= 1) return "100 %";
  const tail = Math.log10((1 - q) * 100); // per cent
  const decimals = (1 - q) * tokens < EXACT_TAIL + 0.5 ? 2 - Math.floor(tail) : Math.floor(2 - tail + 1e-9);
  return (q * 100).toFixed(Math.min(12, Math.max(0, decimals))) + " %";
}
