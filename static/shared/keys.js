// Which key does what?

import { element } from "./text.js";

const typing = (node) => node.isContentEditable || ["TEXTAREA", "SELECT"].includes(node.tagName) ||
  (node.tagName === "INPUT" && !["checkbox", "radio", "button", "submit", "range"].includes(node.type));

/**
 * Bind keys and list them in a help dialog (opened by "?"): `[{keys: ["ArrowLeft", "k"], label: "← k", does:
 * "previous feature", run(event) {}}]`. An entry without `run` is only listed. Quiet while someone types.
 */
export function bindKeys(bindings) {
  const dialog = helpDialog(bindings);
  document.body.append(dialog);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return; // the slider moves itself
    if (dialog.open) return;
    if (event.key === "?") return dialog.showModal();
    const binding = bindings.find(({ keys, run }) => run && keys.includes(event.key));
    if (!binding || (event.shiftKey && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    binding.run(event);
  });
  for (const button of document.querySelectorAll("[data-opens=keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
}

function helpDialog(bindings) {
  const rows = [...bindings, { label: "?", does: "this list" }].map(({ label, does }) =>
    element("tr", {}, element("td", {}, label.split(" ").map((key) => [element("kbd", {}, key), " "])), element("td", {}, does)));
  const dialog = element("dialog", { class: "keys", "aria-labelledby": "keys-title" },
    element("h2", { id: "keys-title" }, "Keys"),
    element("table", {}, element("tbody", {}, rows)),
    element("form", { method: "dialog" }, element("button", {}, "Close")));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
