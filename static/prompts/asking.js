// How is a question put to the site? As an address where it is short enough, as a form where it is not.

const kept = new Map(); // query -> answer, the latest ones, so that the back button is instant
const KEPT = 30;

const TRIES = 20; // where too many ask at once, as many times as the site says when to come again

/** By which a question's place in line is known: any, different ones for different questions. */
export const newTicket = () => Math.random().toString(36).slice(2);

/**
 * The answer to a query (URLSearchParams), or an Error whose message is the site's own sentence. Where the site says
 * when to come again it is asked again then; meanwhile `waits` hears the sentence.
 */
export async function fetchAnswer(query, { longest_address: longest, ticket = newTicket(), waits = () => {} }, signal) {
  const key = String(query);
  for (let tries = 1; !kept.has(key); tries++) {
    try {
      keep(key, await fetched(key, longest, ticket, signal));
    } catch (error) {
      if (!error.again || tries === TRIES) throw error;
      waits(error.message);
      await pause(error.again * 1000, signal);
      waits("");
    }
  }
  return kept.get(key);
}

const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
});

async function fetched(key, longest, ticket, signal) {
  const response = await (key.length < longest
    ? fetch(`?${key}&format=json&ticket=${ticket}`, { signal })
    : fetch(`?format=json&ticket=${ticket}`, { signal, method: "POST", body: new URLSearchParams(key), headers: { "X-CSRFToken": token() } })
  ).catch((error) => {
    throw error.name === "AbortError" ? error : passing("The site does not answer. Is it running?");
  });
  const found = await response.json().catch(() => ({ error: `The site answered with an error (${response.status}).` }));
  if (response.status >= 500) throw Object.assign(passing(found.error), { again: found.retry_after });
  if (!response.ok || found.error) throw new Error(found.error);
  return found;
}

/** An error after which the same question may be answered. */
const passing = (sentence) => Object.assign(new Error(sentence), { passing: true });

const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;

function keep(key, answer) {
  kept.set(key, answer);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}
