// How does the page get from one feature to another without reloading?

const KEPT = 40; // features kept in memory

const TOGETHER = 12; // features in one answer, while the slider is dragged
const RESTS = 150; // ms: a thumb that has not moved for so long has arrived

/**
 * Moves between features. `base`: address of the list of features. `query`: the list's filters, kept in every
 * address. `context()`: how much of each example's row is wanted. `show(data)` draws a feature, `pass(data)` what is
 * seen of one that the slider passes; `wait(true|false)` dims what is stale, `fail(error, again)` says what went wrong
 * and how to try again. Returns `{go, random, dragTo, drop, reload}`.
 */
export function traveller({ base, query, first, context, show, pass, wait, fail }) {
  const kept = new Map([[first.index, first]]);
  let inFlight = null;
  let last = first; // what is shown
  let drag = null; // while the slider is held: see dragTo
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
      setTimeout(() => last === data && prefetch(data)); // after the step itself
    } catch (error) {
      if (error.name === "AbortError") return;
      fail(error, () => arrive(address, null, then));
    } finally {
      clearTimeout(dim);
      if (inFlight === mine) wait(false);
    }
  }

  function json(index) {
    const asked = new URLSearchParams(query);
    if (context() !== "short") asked.set("context", context());
    return `${base}${index}.json${asked.size ? `?${asked}` : ""}`;
  }

  /** To a feature. `how`: "push" a new address, "replace" the present one, or "back" (the address is already right). */
  function go(index, how = "push") {
    drag = null;
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
    drag = null;
    if (among) asked.set("among", among);
    return arrive(`${base}random/?${asked}`, null, (data) => enter(data.index, "push"));
  }

  /**
   * After the thumb. Features that it passes are asked for together, as many as came while the answer before was on
   * its way, and drawn one a frame: heading, density and top lines. Where it rests, the whole feature is drawn.
   * `pushed`: the drag has an address of its own, which is replaced from then on.
   */
  function dragTo(index) {
    drag ??= { pushed: false, asked: [], found: [], asking: false, drawing: false };
    drag.last = index;
    drag.arrived = false;
    drag.asked.push(index);
    clearTimeout(drag.rest);
    inFlight?.abort(); // of a rest that was none
    if (!drag.asking) askPassed(drag);
  }

  async function askPassed(mine) {
    mine.asking = true;
    try {
      while (mine.asked.length && mine === drag) {
        const indices = mine.asked.splice(0).slice(-TOGETHER);
        const response = await fetch(`${base}passing.json?of=${indices.join(",")}`);
        const answer = await response.json().catch(() => null);
        if (!response.ok || !answer) throw new Error(answer?.error ?? `The site answered ${response.status}.`);
        mine.found = [...mine.found, ...answer.features].slice(-TOGETHER); // a page that is slower than the hand leaves some out
        if (!mine.drawing) drawPassed(mine);
      }
    } catch (error) {
      if (mine === drag) arriveAt(mine);
    } finally {
      mine.asking = false;
    }
  }

  function drawPassed(mine) {
    mine.drawing = true;
    requestAnimationFrame(() => {
      mine.drawing = false;
      if (mine !== drag || !mine.found.length) return;
      pass(mine.found.shift());
      if (mine.found.length) drawPassed(mine);
      else if (mine.asking || mine.asked.length) return; // more is on its way
      else if (mine.dropped) arriveAt(mine);
      else mine.rest = setTimeout(() => mine === drag && arriveAt(mine), RESTS);
    });
  }

  /** The whole feature, where the thumb rests or was let go. */
  function arriveAt(mine) {
    const index = mine.last;
    if (mine.dropped) drag = null;
    return arrive(json(index), kept.get(index), (data) => {
      enter(data.index, mine.pushed ? "replace" : "push");
      mine.pushed = mine.arrived = true;
    });
  }

  function drop() {
    if (!drag) return;
    drag.dropped = true;
    clearTimeout(drag.rest);
    if (drag.arrived) return (drag = null), prefetch(last);
    if (!drag.asking && !drag.drawing) arriveAt(drag);
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
