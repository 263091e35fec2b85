// How does the page get from one feature to another without reloading?

const KEPT = 40; // features kept in memory

/**
 * Moves between features. `base`: address of the list of features. `query`: the list's filters, kept in every
 * address. `show(data)` draws a feature, `wait(true|false)` dims what is stale, `fail(error, again)` says what
 * went wrong and how to try again. Returns `{go, random, dragTo, drop, reload}`.
 */
export function traveller({ base, query, first, show, wait, fail }) {
  const kept = new Map([[first.index, first]]);
  let inFlight = null;
  let last = first; // what is shown
  let drag = null; // while the slider is held: {pushed}, whether the drag has an address of its own already
  let wanted = null; // where the thumb has gone to meanwhile
  let following = null;
  history.replaceState({ index: first.index }, "");

  async function get(address, signal) {
    const response = await fetch(address, { signal, headers: { Accept: "application/json" } });
    const answer = await response.json().catch(() => null);
    if (!response.ok || !answer) throw new Error(answer?.error ?? `The site answered ${response.status}.`);
    return keep(answer);
  }

  function keep(data) {
    kept.delete(data.index);
    kept.set(data.index, data);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return data;
  }

  /** Fetch (or recall) what `address` holds, and show it; an answer that was overtaken is dropped. */
  async function arrive(address, known, then) {
    inFlight?.abort();
    const mine = (inFlight = new AbortController());
    const dim = setTimeout(() => wait(true), 120); // quick answers do not flicker
    try {
      const data = known ?? (await get(address, mine.signal));
      if (mine.signal.aborted) return;
      then(data);
      show((last = data));
      prefetch(data);
    } catch (error) {
      if (error.name === "AbortError") return;
      fail(error, () => arrive(address, null, then));
    } finally {
      clearTimeout(dim);
      if (inFlight === mine) wait(false);
    }
  }

  const json = (index) => `${base}${index}.json${query}`;

  /** To a feature. `how`: "push" a new address, "replace" the present one, or "back" (the address is already right). */
  function go(index, how = "push") {
    return arrive(json(index), kept.get(index), (data) => enter(data.index, how));
  }

  function enter(index, how) {
    const address = `${base}${index}/${query}`;
    if (how === "push") history.pushState({ index }, "", address);
    if (how === "replace") history.replaceState({ index }, "", address);
  }

  /** To a random feature; `among`: "" for one worth reading, "all" for any. */
  function random(among = "") {
    const asked = new URLSearchParams(query);
    asked.set("as", "json");
    if (among) asked.set("among", among);
    return arrive(`${base}random/?${asked}`, null, (data) => enter(data.index, "push"));
  }

  /**
   * After the thumb: one question at a time, then the one for where it is by then, so that a fast hand still sees
   * features pass. One new address at the start, replaced from then on.
   */
  function dragTo(index) {
    drag ??= { pushed: false };
    wanted = { index, drag };
    following ??= follow().finally(() => (following = null));
  }

  async function follow() {
    while (wanted) {
      const { index, drag: mine } = wanted;
      wanted = null;
      await arrive(json(index), kept.get(index), (data) => {
        enter(data.index, mine.pushed ? "replace" : "push");
        mine.pushed = true;
      });
    }
  }

  function drop() {
    drag = null;
    if (!following) prefetch(last);
  }

  /** The neighbours, so that the next step is instant. */
  function prefetch({ previous, next }) {
    for (const index of [next, previous])
      if (index !== null && !kept.has(index) && !drag) get(json(index)).catch(() => {});
  }

  window.addEventListener("popstate", (event) => {
    const index = event.state?.index ?? Number(location.pathname.match(/(\d+)\/$/)?.[1]);
    if (Number.isInteger(index)) go(index, "back");
  });
  prefetch(first);
  return { go, random, dragTo, drop, reload: (index) => (kept.clear(), go(index, "back")) };
}
