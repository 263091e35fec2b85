// The line under a feature's heading: star, label, grade, tags and note, saved as they are changed.

import { draft, keepDraft, server } from "./kept.js";
import { element } from "../shared/text.js";
import { stars as starsOfBrowser } from "../shared/memory.js";

const REST = 150; // milliseconds on a feature before it is asked about
const PAUSE = 900; // milliseconds without a key before typed text is saved

/**
 * Fills the form #judge and the button #star. Returns `{show(index), star(), grade(n), label()}`; `show` is called at
 * each step to another feature.
 */
export function judgePanel(slug) {
  const form = document.getElementById("judge");
  const star = document.getElementById("star");
  const kept = server(form.dataset.labels);
  const inBrowser = starsOfBrowser(slug); // of readers who have not signed in
  const byId = (id) => document.getElementById(`judge-${id}`);
  let index = null;
  let answer = null; // what the server said last of this feature
  let pending = {}; // changes that are not there yet
  let timer = null;
  let asking = null;
  let saving = Promise.resolve();
  let waiting = 0; // changes on their way

  const current = () => ({ ...answer?.own, ...pending });
  const told = (text) => (byId("state").textContent = text);
  const tagsOf = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);

  /** To another feature: what is pending of the one before is sent off first. */
  function show(next) {
    if (next === index) return;
    send();
    index = next;
    byId("machine").href = `${byId("machine").dataset.address}?feature=${next}`;
    answer = null;
    pending = {};
    form.classList.add("stale");
    drawStar();
    asking?.abort();
    const mine = (asking = new AbortController());
    setTimeout(() => !mine.signal.aborted && look(next, mine.signal), REST);
  }

  async function look(at, signal = null) {
    try {
      const found = await saving.then(() => kept.read(at, signal));
      if (at === index) arrived(found);
    } catch (error) {
      if (error.name === "AbortError" || at !== index) return;
      form.hidden = false;
      trouble([`Labels cannot be read: ${error.message} `, button("Try again", () => look(at))]);
    }
  }

  function arrived(found) {
    answer = found;
    const before = draft(slug, index);
    if (before) pending = { ...before.changes, ...pending };
    form.classList.remove("stale");
    form.hidden = !found.reader && !found.others.length && !found.inherited.length && !found.sign_in;
    for (const control of form.querySelectorAll("input, textarea, .switch button")) control.disabled = !found.reader;
    byId("trouble").hidden = true;
    draw();
    told(found.own.changed && !before ? `kept ${found.own.changed.slice(0, 10)}` : "");
    if (!found.reader) byId("state").replaceChildren(element("a", { href: found.sign_in }, "Sign in"), " to keep labels");
    else if (before) trouble(["What you typed here before has not been kept yet. ", button("Keep it", send), " ", button("Discard it", discard)]);
    if (found.reader && inBrowser.all().length) takeStars();
  }

  /** Stars of an earlier version, or from before signing in, go to the server. */
  async function takeStars() {
    const all = inBrowser.all();
    await kept.addStars(all).then(() => all.forEach(inBrowser.toggle)).catch(() => {});
    if (all.includes(index)) look(index);
  }

  function draw() {
    const now = current();
    for (const name of ["label", "note"]) if (form[name] !== document.activeElement || !(name in pending)) form[name].value = now[name] ?? "";
    if (form.tags !== document.activeElement) form.tags.value = (now.tags ?? []).join(", ");
    for (const choice of form.querySelectorAll("[name=grade]")) choice.setAttribute("aria-pressed", String(choice.value === now.grade));
    if (now.note) form.note.closest("details").open = true;
    byId("others").replaceChildren(...answer.others.map(other), ...answer.inherited.map(inherited), ...(now.taken_from ? [element("li", { class: "muted" }, `Taken from ${now.taken_from}`)] : []));
    byId("history").hidden = !answer.history.length;
    byId("history").querySelector("ul").replaceChildren(...answer.history.map(change));
    drawStar();
  }

  function drawStar() {
    const is = answer ? (answer.reader ? Boolean(current().star) : inBrowser.has(index)) : false;
    star.setAttribute("aria-pressed", String(is));
    star.textContent = is ? "★ Starred" : "☆ Star";
    const own = inBrowser.all();
    const starred = answer?.reader ? answer.starred + (current().star === true) - (answer.own.star === true) : own.length;
    const all = byId("starred");
    all.hidden = !answer || !starred;
    all.textContent = `★ ${starred} starred`;
    all.href = `${form.dataset.table}?${answer?.reader ? "star=yes" : `only=${own.join(",")}`}`;
  }

  function other(row) {
    const isMachine = row.kind === "machine";
    const standing = row.rejected_by ? `rejected by ${row.rejected_by}` : "machine, not confirmed";
    const by = row.kind === "person" ? row.author : `${row.author} (${isMachine ? standing : "imported"})`;
    const more = [row.grade, row.tags.join(", "), row.note, isMachine ? scored(row.machine) : ""].filter(Boolean).join(" · ");
    return element("li", {}, element(row.rejected_by ? "s" : "span", { class: isMachine ? "machine" : null }, row.star ? "★ " : "", row.label),
      element("span", { class: "muted" }, ` ${more ? `${more} ` : ""}– ${by} `),
      row.label && answer.reader && row.label !== current().label && !row.rejected_by
        ? button(isMachine ? "Confirm" : "Take it", () => put({ label: row.label }, by)) : null, " ",
      isMachine && answer.reader ? button(row.rejected_by ? "Take the rejection back" : "Reject", () => reject(row)) : null);
  }

  /** A score says something beside its control alone. */
  function scored({ score, score_low, score_high, control, control_low, control_high, unanswered, why_unscored } = {}) {
    const share = (value) => `${Math.round(100 * value)} %`;
    const failed = unanswered ? `, ${share(unanswered)} of its questions failed` : "";
    if (score == null || control == null) return why_unscored ? `not scored: ${why_unscored}${failed}` : "not scored";
    return `detection ${share(score)} (${share(score_low)} to ${share(score_high)}), shuffled control ${share(control)} (${share(control_low)} to ${share(control_high)})${failed}`;
  }

  async function reject(row) {
    const at = index;
    try {
      const found = await kept.reject(at, row.id, !row.rejected_by);
      if (at !== index) return;
      answer = found;
      draw();
    } catch (error) {
      if (at === index) trouble([`${error.message} `]);
    }
  }

  /** What was said of the counterpart: nobody has confirmed it of this feature. */
  function inherited(row) {
    const source = { weights: row.weights, feature: row.feature };
    const by = `${row.author}, ${row.whence}`;
    const whence = element("span", { class: "muted" }, ` – ${row.author}, `, element("a", { href: row.address, title: `Correlation ${row.correlation}, chance ${row.correlation_chance}` }, row.whence), " ");
    const text = [row.star ? "★" : "", row.label, row.tags.join(", "), row.note].filter(Boolean).join(" · ");
    if (row.rejected_by)
      return element("li", { class: "muted" }, element("s", {}, text), whence, `rejected by ${row.rejected_by} `, answer.reader ? button("Take back", () => decide({ take_back: source })) : null);
    return element("li", {}, element("span", { class: "inherited" }, text), whence,
      answer.reader ? [button("Confirm", () => confirmed(row, by)), " ", button("Reject", () => decide({ reject: source }))] : null);
  }

  function confirmed(row, by) {
    const now = current();
    const changes = { tags: [...new Set([...(now.tags ?? []), ...row.tags])] };
    if (row.label) changes.label = row.label;
    if (row.note && row.note !== now.note) changes.note = [now.note, row.note].filter(Boolean).join("\n");
    if (row.star && row.author === answer.reader) changes.star = true;
    put(changes, by);
  }

  async function decide(what) {
    const at = index;
    try {
      const found = await kept.change(at, what);
      if (at === index) [answer] = [found], draw();
    } catch (error) {
      if (at === index) trouble([error.message]);
    }
  }

  const change = ({ at, by, author, said }) => element("li", {},
    element("span", { class: "muted" }, `${at.slice(0, 16).replace("T", " ")}, ${by === author ? by : `${author}, ${by}`}: `),
    [said.star ? "★" : "", said.label, said.grade, said.tags?.join(", "), said.note, said.rejected == null ? "" : said.rejected ? "rejected" : "no longer rejected"].filter(Boolean).join(" · ") || "nothing any more");

  const button = (text, onclick) => element("button", { type: "button", onclick }, text);

  function trouble(parts) {
    byId("trouble").replaceChildren(...parts);
    byId("trouble").hidden = false;
  }

  /** Change fields at once. */
  function put(changes, takenFrom = "") {
    if (!answer?.reader) return;
    Object.assign(pending, changes);
    draw();
    send(takenFrom);
  }

  function typed(changes) {
    Object.assign(pending, changes);
    keepDraft(slug, index, { changes: pending, revision: answer.own.revision });
    told("not kept yet");
    clearTimeout(timer);
    timer = setTimeout(send, PAUSE);
  }

  /** What is pending, one request after the other; it stays in the browser until the server has it. */
  function send(takenFrom = "") {
    clearTimeout(timer);
    if (!answer?.reader || !Object.keys(pending).length) return;
    const [at, changes] = [index, pending];
    keepDraft(slug, at, { changes, revision: answer.own.revision });
    told("keeping …");
    waiting++;
    saving = saving.then(() => deliver(at, changes, typeof takenFrom === "string" ? takenFrom : ""));
  }

  async function deliver(at, changes, takenFrom) {
    const revision = (at === index ? answer?.own.revision : null) ?? draft(slug, at)?.revision ?? 0;
    const sent = { ...changes };
    try {
      const found = await kept.change(at, { changes: sent, revision, taken_from: takenFrom }).finally(() => waiting--);
      const left = Object.fromEntries(Object.entries(changes).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(sent[name])));
      keepDraft(slug, at, Object.keys(left).length ? { changes: left, revision: found.own.revision } : null);
      if (at !== index) return;
      [answer, pending] = [found, left];
      byId("trouble").hidden = true;
      draw();
      told(waiting ? "keeping …" : "kept");
    } catch (error) {
      if (at === index) failed(error);
      else elsewhere(at, error);
    }
  }

  function failed(error) {
    told("not kept");
    if (error.answer?.clash) {
      const theirs = error.answer.clash.map((name) => `${name} “${error.answer.own[name]}”`).join(", ");
      trouble([`${error.message} There: ${theirs}. `, button("Keep mine", () => { answer = error.answer; send(); }), " ", button("Take the other", () => { answer = error.answer; discard(); })]);
    } else trouble([`${error.message} What you typed is still here, and stays in this browser. `, button("Try again", send)]);
  }

  function discard() {
    pending = {};
    keepDraft(slug, index, null);
    byId("trouble").hidden = true;
    document.activeElement?.blur?.();
    draw();
    told("");
  }

  /** A feature that was left before its label was there. */
  const elsewhere = (at, error) => trouble([`What you said of #${at} has not been kept: ${error.message} What was typed stays in this browser; go back to #${at} to try again.`]);

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    event.preventDefault();
    send();
    event.target.blur(); // and the page's keys are keys again
  });
  form.addEventListener("input", ({ target }) => {
    if (!answer?.reader) return;
    if (target.name === "tags") typed({ tags: tagsOf(target.value) });
    else if (target.name) typed({ [target.name]: target.value });
  });
  form.addEventListener("change", () => send());
  form.addEventListener("click", ({ target }) => target.name === "grade" && put({ grade: current().grade === target.value ? "" : target.value }));
  window.addEventListener("pagehide", () => send());

  function toggleStar() {
    if (answer?.reader) put({ star: !current().star });
    else if (answer) inBrowser.toggle(index), drawStar();
    else early(index);
  }

  /** A star for a feature that has not been asked about yet. */
  async function early(at) {
    try {
      const { own, reader } = await kept.read(at);
      if (!reader) return inBrowser.toggle(at), at === index && look(at);
      const found = await kept.change(at, { changes: { star: !own.star }, revision: own.revision });
      if (at === index) arrived(found);
    } catch (error) {
      elsewhere(at, error);
    }
  }
  star.addEventListener("click", toggleStar);

  return {
    show,
    star: toggleStar,
    grade: (n) => form.querySelectorAll("[name=grade]")[n]?.click(),
    label: () => form.label.focus(),
  };
}
