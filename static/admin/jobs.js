// How far is each job of the list? Bars that move while a job is unfinished, and the buttons that stop or retry it.
"use strict";

const UNFINISHED = ["queued", "running"];

/** Text through textContent alone: nothing of a job is ever read as HTML. */
function draw(place, job) {
  const parts = [Object.assign(document.createElement("div"), { textContent: sentence(job) })];
  if (job.state === "running" && job.share != null)
    parts.unshift(Object.assign(document.createElement("progress"), { max: 1, value: job.share }));
  place.replaceChildren(...parts);
}

function sentence(job) {
  if (job.sentence) return job.sentence; // an import tells of itself in words
  if (job.state !== "running") return [job.state, job.note].filter(Boolean).join(". ");
  const figures = `${job.phase || "starting"}: ${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}`;
  const rate = job.rate ? `, ${Math.round(job.rate).toLocaleString("en")} per second` : "";
  const left = job.seconds_left == null ? "" : `, ${Math.ceil(job.seconds_left)} s left`;
  return figures + rate + left + (job.note ? `. ${job.note}` : "");
}

async function follow(place) {
  try {
    const job = await (await fetch(place.dataset.job)).json();
    if (!UNFINISHED.includes(job.state)) return location.reload(); // its other columns have changed too
    draw(place, job);
  } catch {
    place.textContent = "The site does not answer; trying again.";
  }
  setTimeout(follow, 1500, place);
}

async function press(button) {
  button.disabled = true;
  const token = document.cookie.match(/csrftoken=([^;]+)/)?.[1] ?? "";
  const response = await fetch(button.dataset.post, { method: "POST", headers: { "X-CSRFToken": token } });
  if (response.ok) return location.reload();
  const answer = await response.json().catch(() => ({}));
  button.after(` ${answer.error ?? `The site answered ${response.status}.`}`);
}

document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll("[data-job]"))
    if (UNFINISHED.includes(place.dataset.state)) follow(place);
  for (const button of document.querySelectorAll("[data-post]")) button.addEventListener("click", () => press(button));
});
