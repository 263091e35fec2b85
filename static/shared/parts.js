// How is much drawn without holding the page up? A part at a time; between two the browser paints and listens.

const pause = () =>
  document.hidden ? new Promise((later) => setTimeout(later)) : new Promise((later) => requestAnimationFrame(() => setTimeout(later)));

/**
 * Draws lists of parts (functions), each list in place of what is left of the one before it. `draw(parts)` draws the
 * first at once and the others after the next paint, one by one; `busy(true|false)` tells when there is more to come.
 */
export function partsDrawer(busy = () => {}) {
  let run = 0;
  return async function draw([first, ...rest]) {
    const mine = ++run;
    busy(rest.length > 0);
    first();
    for (const part of rest) {
      await pause();
      if (mine !== run) return;
      part();
    }
    busy(false);
  };
}
