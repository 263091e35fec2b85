// How is a question put to the site? As an address where it is short enough, as a form where it is not.

const kept = new Map(); // query -> answer, the latest ones, so that the back button is instant
const KEPT = 30;

/** The answer to a query (URLSearchParams), or an Error whose message is the site's own sentence. */
export async function fetchAnswer(query, { longest_address: longest }, signal) {
  const key = String(query);
  if (!kept.has(key)) keep(key, await fetched(key, longest, signal));
  return kept.get(key);
}

async function fetched(key, longest, signal) {
  const response = await (key.length < longest
    ? fetch(`?${key}&format=json`, { signal })
    : fetch("?format=json", { signal, method: "POST", body: new URLSearchParams(key), headers: { "X-CSRFToken": token() } })
  ).catch((error) => {
    throw error.name === "AbortError" ? error : passing("The site does not answer. Is it running?");
  });
  const found = await response.json().catch(() => ({ error: `The site answered with an error (${response.status}).` }));
  if (response.status >= 500) throw passing(found.error);
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
