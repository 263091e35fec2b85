// Two whole dictionaries: each feature a point, by how near its counterpart is; a click opens the two beside each other.

import { COLOURS } from "./chart.js";
import { element } from "../shared/element.js";
import { followWork } from "../shared/progress.js";
import { count, figure } from "../shared/text.js";

const { points, verdicts } = JSON.parse(document.getElementById("dictionaries-data").textContent);
for (const panel of document.querySelectorAll(".progress-panel")) followWork(panel);
if (points) draw(document.getElementById("scatter"));

function draw(place) {
  const { cosine, correlation, decoder, verdict, chance } = points;
  const upwards = correlation ?? ranks(cosine);
  const [low, high] = [Math.min(0, ...cosine), 1];
  const at = (i) => [(cosine[i] - low) / (high - low), upwards[i]];
  document.getElementById("scatter-says").textContent = correlation
    ? "Along: cosine with the nearest decoder row of the other. Upwards: correlation with the best by activations. The dashed line is chance by decoder. A point opens the two features."
    : "Along: cosine with the nearest decoder row of the other. Upwards: share of features that are less near. The dashed line is chance. A point opens the two features.";
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const canvas = element("canvas", { role: "img", "aria-label": `${count(cosine.length)} features by how near their counterparts are`, style: { "image-rendering": "auto" } });
  const tip = element("div", { class: "tip", hidden: true });
  const field = element("div", { class: "field", style: { height: "340px" } }, canvas, tip);
  const marks = [0, 0.25, 0.5, 0.75, 1];
  place.replaceChildren(
    element("div", { class: "plot" },
      element("div", { class: "up" }, marks.map((mark) => element("span", { style: { top: `${100 - 100 * mark}%` } }, figure(mark, 2)))), field,
      element("div", { class: "along" }, marks.filter((mark) => mark >= low).map((mark) => element("span", { style: { left: `${(100 * (mark - low)) / (high - low)}%` }, class: mark === 1 ? "last" : mark === 0 && low === 0 ? "first" : "" }, figure(mark, 2))))),
    element("p", { class: "legend" }, verdicts.map((name, n) => element("span", { class: "key", style: { "--colour": COLOURS[n], "margin-right": "14px" } }, element("i", {}), name))));
  const colours = verdicts.map((_, n) => {
    const probe = element("i", { style: { color: COLOURS[n] } });
    place.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  });
  function paint() {
    const box = field.getBoundingClientRect();
    [canvas.width, canvas.height] = [box.width * ratio, box.height * ratio];
    const picture = canvas.getContext("2d");
    const line = ((chance - low) / (high - low)) * canvas.width;
    picture.strokeStyle = getComputedStyle(place).color;
    picture.setLineDash([4, 4]);
    picture.beginPath();
    picture.moveTo(line, 0);
    picture.lineTo(line, canvas.height);
    picture.stroke();
    picture.globalAlpha = cosine.length > 2000 ? 0.45 : 0.8;
    for (let i = 0; i < cosine.length; i++) {
      const [x, y] = at(i);
      if (y === null) continue;
      picture.fillStyle = colours[verdict[i]];
      picture.fillRect(x * canvas.width - ratio, (1 - y) * canvas.height - ratio, 2.5 * ratio, 2.5 * ratio);
    }
  }
  /** The point nearest to the pointer, if one is within ten pixels. */
  function nearest(event) {
    const box = canvas.getBoundingClientRect();
    let [best, distance] = [null, 100];
    for (let i = 0; i < cosine.length; i++) {
      const [x, y] = at(i);
      if (y === null) continue;
      const square = (x * box.width - (event.clientX - box.left)) ** 2 + ((1 - y) * box.height - (event.clientY - box.top)) ** 2;
      if (square < distance) [best, distance] = [i, square];
    }
    return best;
  }
  const other = new URLSearchParams(location.search).get("other");
  canvas.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i !== null) location.assign(`../features/${i}/beside/?other=${other}`);
  });
  canvas.addEventListener("mousemove", (event) => {
    const i = nearest(event);
    tip.hidden = i === null;
    if (i === null) return;
    const [x, y] = at(i);
    tip.textContent = `#${i} and #${decoder[i]}: cosine ${figure(cosine[i], 3)}${correlation ? `, correlation ${figure(correlation[i], 3)}` : ""} · ${verdicts[verdict[i]]}`;
    Object.assign(tip.style, { left: x > 0.5 ? "auto" : `${100 * x}%`, right: x > 0.5 ? `${100 - 100 * x}%` : "auto", top: `calc(${100 - 100 * y}% ${y < 0.7 ? "- 28px" : "+ 12px"})` });
  });
  canvas.addEventListener("mouseleave", () => (tip.hidden = true));
  new ResizeObserver(paint).observe(field);
}

/** Share of values that are smaller than each. */
function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  order.forEach((i, rank) => (found[i] = rank / Math.max(1, values.length - 1)));
  return found;
}
