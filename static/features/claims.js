// What is claimed of a feature, whether it holds on the statistics shown, and how a claim is made and removed.

import { count, element, figure } from "../shared/text.js";

/** Sends a form, or fields, as a reader who may; the JSON that comes back. Throws an Error with the site's sentence. */
export async function send(address, fields, csrf) {
  const response = await fetch(address, { method: "POST", headers: { "X-CSRFToken": csrf }, body: new URLSearchParams(fields) });
  const answer = await response.json().catch(() => ({ error: `The site answered ${response.status}. Reload the page and try again.` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** A form that claims a pattern says in place how that went; `made(answer)` hears of it. */
export function claimForm(form, made, fields = () => new FormData(form)) {
  const said = form.querySelector("output");
  form.addEventListener("submit", async (event) => {
    if (event.submitter?.classList.contains("draw")) return; // another button of the same form
    event.preventDefault();
    said.textContent = "";
    try {
      made(await send(form.action, fields(), form.dataset.csrf));
    } catch (error) {
      said.textContent = error.message;
    }
  });
  return said;
}

/** The section of a feature's page. `{show(data)}` draws the claims of each feature that the page moves to. */
export function claimsPanel(section) {
  const list = section.querySelector("ul");
  const { csrf, base } = section.dataset;
  let shown = [];

  function draw(claims) {
    shown = claims;
    list.replaceChildren(...claims.map((claim) => line(claim)));
    list.hidden = !claims.length;
  }

  function line(claim) {
    const { test } = claim;
    const state = !test ? "untested" : test.holds === null ? "untested" : test.holds ? "holds" : "fails";
    const by = claim.from_findings ? "findings.json" : [claim.author || "somebody who has left", claim.created.slice(0, 10)].join(", ");
    return element("li", { class: `claim ${state}` },
      element("span", { class: "words" }, claim.words), " ",
      element("span", { class: "outcome" }, outcome(claim)), " ",
      claim.note && element("span", { class: "note" }, `“${claim.note}” `),
      element("span", { class: "muted" }, by),
      claim.may_remove && csrf && element("button", { type: "button", class: "quiet", "aria-label": `Remove: ${claim.words}`, onclick: () => remove(claim) }, "Remove"));
  }

  async function remove(claim) {
    try {
      draw((await send(`${base}${claim.id}/remove/`, {}, csrf)).claims);
    } catch (error) {
      list.append(element("li", { class: "notice" }, error.message));
    }
  }

  return { draw, show: (data) => draw(data.claims), among: () => shown };
}

/** Whether it holds, by which figures: those now and, of a pattern, those when it was claimed. */
function outcome({ test, stated }) {
  const before = stated && `F1 ${figure(stated.f1, 3)} when claimed, on ${count(stated.tokens)} tokens of ${stated.corpus}`;
  if (!test) return ["Not tested on these statistics yet.", before && ` ${before}.`];
  if (test.holds === null) return [`Cannot be tested here: ${test.figure}`, before && ` ${before}.`];
  const now = `${test.holds ? "Holds" : "Holds no longer"}: ${test.figure}`;
  return before && !test.holds ? `${now}; ${before}.` : `${now}.`;
}
