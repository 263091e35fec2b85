// Which token of the prompt is chosen? The prompt as a row of buttons.

import { activationFill } from "../shared/colours.js";
import { element, loneToken, visible } from "../shared/text.js";

/**
 * The tokens of an answer as buttons; the chosen ones are pressed. `choose(positions)` is called on a click: the
 * token alone, or the selection with it added or taken away, with Ctrl, Cmd or Shift or while `several()` says so.
 * Arrow keys move the focus.
 * Returns `{node, colour(activations, maximum), point(position), press(positions)}`; press shows what is asked for.
 */
export function tokenButtons({ tokens, token_ids: ids, special, positions }, choose, several) {
  let pressed = positions;
  const buttons = tokens.map((text, p) => element("button", {
    type: "button",
    class: "pick" + (special[p] ? " special" : ""),
    "aria-pressed": String(positions.includes(p)),
    "aria-label": `Token ${p}: ${visible(text)}${special[p] ? ", special" : ""}`,
    "data-position": p,
    title: `token ${p}, id ${ids[p]}`,
    tabindex: p === positions.at(-1) ? 0 : -1,
  }, loneToken(text)));
  const node = element("div", { class: "picks", role: "group", "aria-label": "Tokens of the prompt" },
    tokens.flatMap((text, p) => (text.includes("\n") && p < tokens.length - 1 ? [buttons[p], element("br")] : [buttons[p]])));
  node.addEventListener("click", (event) => {
    const p = position(event.target);
    if (p === null) return;
    const adds = several() || event.ctrlKey || event.metaKey || event.shiftKey;
    choose(adds ? toggled(pressed, p) : [p]);
  });
  node.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const next = step && buttons[position(event.target) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return {
    node,
    colour(activations, maximum) {
      buttons.forEach((button, p) => paint(button, activationFill(activations?.[p], maximum)));
    },
    press(chosen) {
      pressed = chosen;
      buttons.forEach((button, p) => {
        button.setAttribute("aria-pressed", String(chosen.includes(p)));
        button.tabIndex = p === chosen.at(-1) ? 0 : -1;
      });
    },
    point(at) {
      buttons.forEach((button, p) => button.classList.toggle("pointed", p === at));
    },
  };
}

/** The position of the token button that a node lies in, or null. */
export function position(node) {
  const button = node.closest?.(".pick");
  return button ? Number(button.dataset.position) : null;
}

/** The selection with a position added, or taken away where another one is left. */
function toggled(positions, p) {
  const others = positions.filter((q) => q !== p);
  return others.length === positions.length || !others.length ? [...others, p].sort((a, b) => a - b) : others;
}

function paint(node, style) {
  for (const name of ["background-color", "background-image", "color"]) node.style.setProperty(name, style[name] ?? "");
}
