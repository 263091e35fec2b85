// How is much drawn without holding the page up? A part at a time; between some the browser paints and listens.

const LONGEST = 8; // ms of drawing without a break; what the browser then makes of it takes two or three times as long

const pause = () =>
  document.hidden ? new Promise((later) => setTimeout(later)) : new Promise((later) => requestAnimationFrame(() => setTimeout(later)));

/**
 * Draws generators, each in place of what is left of the one before it. `draw(parts)` runs the generator `parts()` to its
 * first `yield` at once, and on after the next paint: as many parts in a row as take no longer than LONGEST. Where a
 * promise is yielded, what follows waits for it.
 * `busy(true|false)` tells when there is more to come.
 */
export function partsDrawer(busy = () => {}) {
  let run = 0;
  return async function draw(parts) {
    const mine = ++run;
    const drawing = parts();
    let { done, value } = drawing.next();
    busy(!done);
    let since = -Infinity; // the last break
    while (!done) {
      if (value) await value;
      if (mine !== run) return;
      if (performance.now() - since > LONGEST) {
        await pause();
        if (mine !== run) return;
        since = performance.now();
      }
      ({ done, value } = drawing.next());
    }
    busy(false);
  };
}
