// What is stored of ranked features? The same for every prompt: each is asked for once.

const kept = new Map(); // feature -> the extract of its page
const KEPT = 300;

/**
 * Adds to each dashboard what is stored of its feature, from `address`, or `missing` and `why`. Those that have it already stay
 * as they are; where the site does not answer, `trouble` says so.
 */
export async function addStored(address, boards) {
  const wanted = boards.filter((board) => !board.missing && !board.top);
  const unknown = wanted.map(({ feature }) => feature).filter((feature) => !kept.has(feature));
  const trouble = unknown.length ? await ask(address, unknown) : "";
  for (const board of wanted) Object.assign(board, { trouble }, kept.get(board.feature));
}

/** Keeps what the site says; returns what went wrong. */
async function ask(address, features) {
  const response = await fetch(`${address}?of=${features}`).catch(() => null);
  const found = response?.ok ? await response.json().catch(() => null) : null;
  if (!found) return `What is stored of this feature could not be fetched${response ? ` (${response.status})` : ": the site does not answer"}.`;
  for (const { feature, ...extract } of found.features) kept.set(feature, { ...extract, trouble: "" });
  while (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return "";
}
