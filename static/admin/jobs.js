// The administration's lists of jobs, imports and verifications: bars that move, and buttons that stop or try again.

import { drawPanel, press, watchWork } from "../shared/progress.js";

for (const panel of document.querySelectorAll("[data-state=queued], [data-state=running]"))
  watchWork(panel, { ended: () => location.reload(), draw }); // its other columns have changed too

/** As the list itself says it, with what the panel of a page shows besides. */
function draw(work) {
  const [, ...rest] = drawPanel(work);
  return [Object.assign(document.createElement("div"), { textContent: work.sentence }), ...rest];
}

for (const button of document.querySelectorAll("[data-post]"))
  button.addEventListener("click", async () => {
    const csrf = document.cookie.match(/csrftoken=([^;]+)/)?.[1] ?? "";
    if (await press(button, button.dataset.post, csrf)) location.reload();
  });
