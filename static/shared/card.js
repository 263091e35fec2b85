// What is shown of a thing under the pointer or the focus?

import { element } from "./text.js";

let cards = 0;

/**
 * A card beside whatever matches `selector` inside `root`, on hover and on focus. `describe(node)` returns its
 * content (a node, or null for none); `shown(node)` and `hidden()` tell the page, for marks elsewhere. With
 * `pins`, a click, Enter or Space keeps the card until Escape, a click elsewhere or another token. Returns `{close()}`.
 */
export function hoverCard(root, { selector, describe, shown = () => {}, hidden = () => {}, pins = false }) {
  const card = element("div", { class: "card", role: "tooltip", id: `card-${++cards}`, hidden: true });
  document.body.append(card);
  let current = null;
  let pinned = false;

  function close() {
    if (!current) return;
    current.removeAttribute("aria-describedby");
    current.classList.remove("pinned");
    current = null;
    pinned = false;
    card.hidden = true;
    card.classList.remove("pinned");
    hidden();
  }

  function open(node) {
    if (node === current) return;
    close();
    const content = describe(node);
    if (!content) return;
    current = node;
    card.replaceChildren(content);
    card.hidden = false;
    node.setAttribute("aria-describedby", card.id);
    place(card, node);
    shown(node);
  }

  /** Keep its card; a second time lets go. */
  function pin(node) {
    const again = pinned && node === current;
    close();
    if (!again) open(node);
    pinned = current !== null;
    card.classList.toggle("pinned", pinned);
    if (pinned) node.classList.add("pinned");
  }

  const found = (event) => {
    const node = event.target.closest?.(selector);
    return node && root.contains(node) ? node : null;
  };
  root.addEventListener("pointerover", (event) => {
    if (pinned || event.pointerType === "touch") return;
    const node = found(event);
    node ? open(node) : close();
  });
  root.addEventListener("pointerleave", () => pinned || close());
  root.addEventListener("focusin", (event) => {
    const node = found(event);
    if (node && !(pinned && node === current)) open(node);
  });
  root.addEventListener("focusout", () => pinned || close());
  if (pins) {
    document.addEventListener("click", (event) => {
      const node = found(event);
      if (node) pin(node);
      else if (!card.contains(event.target)) close();
    });
    root.addEventListener("keydown", (event) => {
      const node = found(event);
      if (!node || node !== event.target || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      pin(node);
    });
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return { close };
}

/** Under the node, or above where there is no room; never outside the window. It scrolls with the page. */
function place(card, node) {
  const box = node.getClientRects()[0] ?? node.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = card;
  const wide = document.documentElement.clientWidth;
  const below = box.bottom + 8;
  const top = below + height <= window.innerHeight || box.top < height + 8 ? below : box.top - height - 8;
  card.style.left = `${window.scrollX + Math.max(8, Math.min(box.left, wide - width - 8))}px`;
  card.style.top = `${window.scrollY + top}px`;
}

/** Rows of "name: value" for a card: `[["Activation", "1.23"], …]`; rows without a value are left out. */
export function facts(rows) {
  return element("dl", { class: "facts" },
    rows.filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value, key]) => [element("dt", {}, name), element("dd", { "data-fact": key }, value)]));
}
