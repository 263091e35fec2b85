// How far is the computation, and what can be done about it?

import { count, duration, element } from "./text.js";

const PHASES = {
  loading: ["Loading the model", ""],
  activations: ["Reading activations", "tokens"],
  examples: ["Gathering examples", "features"],
  merging: ["Adding up products of features", "tokens"],
  "loss effects": ["Computing loss effects", "tokens"],
  features: ["Working out features", "features"],
};
const UNFINISHED = ["queued", "running"];

/**
 * Keeps `place` (an element with data-jobs, the address of the newest job's JSON, and for staff data-csrf and
 * data-cancel / data-retry with 0 for the job's number) up to date. Calls `done(job)` once when a job that was
 * seen unfinished is done. Polls every 1.5 s while there is something to see, every 15 s otherwise.
 */
export function watchJob(place, { done = () => {} } = {}) {
  let seen = null; // the unfinished job last seen
  let failures = 0;
  let timer = null;
  async function look() {
    clearTimeout(timer);
    let wait = 15_000;
    try {
      const response = await fetch(place.dataset.jobs, { headers: { Accept: "application/json" } });
      const answer = response.ok ? await response.json() : null;
      const job = answer?.id ? answer : answer?.job ?? null;
      failures = 0;
      if (job && UNFINISHED.includes(job.state)) {
        seen = job.id;
        wait = 1_500;
      } else if (job?.state === "done" && seen === job.id) {
        seen = null;
        done(job);
      }
      place.replaceChildren(...panel(job, place.dataset, look));
      place.hidden = !place.hasChildNodes();
    } catch {
      wait = Math.min(30_000, 2_000 * 2 ** failures++);
      if (seen) place.replaceChildren(element("p", {}, `The site does not answer; next try in ${wait / 1000} s.`));
    }
    timer = setTimeout(look, document.hidden ? 15_000 : wait);
  }
  document.addEventListener("visibilitychange", () => document.hidden || look());
  look();
}

/** What is shown of a job; nothing once it is done. */
function panel(job, { csrf, cancel, retry }, again) {
  if (!job || job.state === "done") return [];
  const parts = [element("p", {}, element("strong", {}, headline(job)), " ", detail(job))];
  if (job.state === "running")
    parts.push(element("progress", { max: 1, value: job.share ?? 0, "aria-label": headline(job) }));
  if (job.note) parts.push(element("p", { class: "muted" }, job.note));
  if (job.error) parts.push(element("pre", { class: "error" }, job.error));
  const button = (text, address) =>
    element("button", { type: "button", onclick: (event) => post(event.target, address.replace("/0/", `/${job.id}/`), csrf).then(again) }, text);
  if (csrf && cancel && job.can_cancel) parts.push(button("Cancel", cancel));
  if (csrf && retry && job.can_retry) parts.push(button("Try again", retry));
  if (!csrf && job.state === "failed") parts.push(element("p", {}, "Staff can try again from this page."));
  return parts;
}

const headline = (job) => ({
  queued: "Statistics are waiting for a worker.",
  running: `${PHASES[job.phase]?.[0] ?? "Computing"}:`,
  failed: "The last computation failed.",
  cancelled: "The last computation was cancelled.",
})[job.state] ?? job.state;

function detail(job) {
  if (job.state !== "running") return "";
  const unit = PHASES[job.phase]?.[1] ?? "";
  if (!job.rate) return "";
  return `${count(job.done)} of ${count(job.total)} ${unit}, ${count(Math.round(job.rate ?? 0))} per second, ` +
    `${duration(job.seconds_left)} left`;
}

/** Press a button of the panel; a refusal is said beside it and stays until the next look. */
async function post(button, address, csrf) {
  button.disabled = true;
  const response = await fetch(address, { method: "POST", headers: { "X-CSRFToken": csrf, Accept: "application/json" } });
  if (response.ok) return;
  const answer = await response.json().catch(() => null);
  button.after(element("span", { class: "muted" }, ` ${answer?.error ?? `The site answered ${response.status}.`}`));
  await new Promise((resolve) => setTimeout(resolve, 4_000));
}
