// How far is a piece of work (a computation, an import, a verification), and what can be done about it?

import { element } from "./element.js";

const UNFINISHED = ["queued", "running"];
const EVERY = { unfinished: 1_500, otherwise: 15_000 }; // milliseconds between two looks

/**
 * Keeps a panel (an element with data-progress, the address of the work's JSON, and for staff data-csrf) up to date.
 * Calls `seen(work)` at each look at unfinished work, `done(work)` once when it is done, `ended(work)` when it has ended
 * in any way.
 */
export function watchWork(panel, { done = () => {}, ended = () => {}, seen: lookAt = () => {}, draw = drawPanel } = {}) {
  let seen = null; // the unfinished work last seen
  let failures = 0;
  let timer = null;
  async function look() {
    clearTimeout(timer);
    let wait = EVERY.otherwise;
    try {
      const response = await fetch(panel.dataset.progress, { headers: { Accept: "application/json" } });
      const answer = response.ok ? await response.json() : null;
      const work = answer?.id ? answer : answer?.job ?? null;
      const unfinished = Boolean(work) && UNFINISHED.includes(work.state);
      failures = 0;
      for (const help of document.querySelectorAll(".while-idle")) help.hidden = unfinished; // it is asked for already
      if (unfinished) {
        seen = work.id;
        wait = EVERY.unfinished;
        lookAt(work);
      } else if (work && seen === work.id) {
        seen = null;
        if (work.state === "done") done(work);
        ended(work);
      }
      panel.replaceChildren(...draw(work, panel.dataset.csrf, look));
      panel.hidden = !panel.hasChildNodes();
    } catch {
      wait = Math.min(30_000, 2_000 * 2 ** failures++);
      if (seen) panel.replaceChildren(element("p", {}, `The site does not answer; next try in ${wait / 1000} s.`));
    }
    timer = setTimeout(look, document.hidden ? EVERY.otherwise : wait);
  }
  document.addEventListener("visibilitychange", () => document.hidden || look());
  look();
}

/** Watches the work, and loads the page anew when there is more to see: quick results where it shows none, and all. */
export function followWork(panel) {
  const reload = () => location.reload();
  watchWork(panel, { done: reload, seen: (work) => work.showing === "quick" && panel.dataset.showing === "nothing" && reload() });
}

/** What is shown of a piece of work; nothing once it is done. Text alone: nothing of it is read as HTML. */
export function drawPanel(work, csrf, again) {
  if (!work || work.state === "done") return [];
  const parts = [element("p", {}, element("strong", {}, headline(work)), " ", work.state === "running" ? work.progress : "")];
  if (work.state === "running" && work.share != null)
    parts.push(element("progress", { max: 1, value: work.share || null, "aria-label": headline(work) }));
  for (const remark of work.remarks ?? []) parts.push(element("p", { class: "muted" }, remark));
  if (work.note) parts.push(element("p", { class: "muted" }, work.note));
  if (work.error) parts.push(element("pre", { class: "error" }, work.error));
  if (csrf && work.can_cancel) parts.push(button("Cancel", work.cancel, csrf, again));
  if (csrf && work.can_retry) parts.push(button("Try again", work.retry, csrf, again));
  if (!csrf && work.state === "failed") parts.push(element("p", {}, "Staff can try again from this page."));
  return parts;
}

const headline = (work) => ({
  queued: `The ${work.kind} waits for a worker.`,
  running: `The ${work.kind} runs:`,
  failed: `The last ${work.kind} failed.`,
  cancelled: `The last ${work.kind} was cancelled.`,
})[work.state] ?? work.state;

function button(text, address, csrf, again) {
  return element("button", { type: "button", class: "button", onclick: (event) => press(event.target, address, csrf).then(again) }, text);
}

/** Press a button: whether it did what it says. A refusal is said beside it and stays until the next look. */
export async function press(button, address, csrf) {
  button.disabled = true;
  const response = await fetch(address, { method: "POST", headers: { "X-CSRFToken": csrf, Accept: "application/json" } });
  if (response.ok) return true;
  const answer = await response.json().catch(() => null);
  button.after(element("span", { class: "muted" }, ` ${answer?.error ?? `The site answered ${response.status}.`}`));
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  return false;
}
