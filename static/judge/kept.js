// How does a judgement get to the server, and what if it does not? What was typed stays in this browser until it is there.

import { recall, remember } from "../shared/memory.js";

const draftKey = (slug, index) => `judgement:${slug}:${index}`;

/** What was typed about a feature and is not on the server yet: `{changes, revision}`, or null. */
export const draft = (slug, index) => recall(draftKey(slug, index));

/** Remember it, or forget it (null). */
export const keepDraft = (slug, index, value) => remember(draftKey(slug, index), value);

/**
 * Ask for or change what is kept. `labels`: the address of the SAE's labels. Rejects with an error that has `answer`
 * where the server said why.
 */
export function server(labels) {
  let csrf = "";

  async function ask(path, body = null, signal = null) {
    const options = { signal, headers: { Accept: "application/json" } };
    if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body), keepalive: true });
    if (body) Object.assign(options.headers, { "Content-Type": "application/json", "X-CSRFToken": csrf });
    const response = await fetch(labels + path, options).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The site does not answer.");
    });
    const answer = await response.json().catch(() => null);
    if (answer?.csrf) csrf = answer.csrf;
    if (response.ok && answer) return answer;
    const error = new Error(answer?.error ?? (response.status === 403
      ? "The site did not know this page any more (signed in or out in another window?)." : `The site answered ${response.status}.`));
    throw Object.assign(error, { answer, status: response.status });
  }

  const read = (index, signal) => ask(`${index}.json`, null, signal);

  /** Once more with a new key, where the site did not take the old one. */
  async function change(index, body) {
    try {
      return await ask(`${index}.json`, body);
    } catch (error) {
      if (error.status !== 403 || error.answer) throw error;
      await read(index);
      return ask(`${index}.json`, body);
    }
  }

  const reject = (index, id, rejected) => ask(`${index}/reject/`, { id, rejected });

  return { read, change, reject, addStars: (stars) => ask("stars.json", { stars }) };
}
