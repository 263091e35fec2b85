// A hundred thousand points on a canvas: painted as pixels, found again by where they lie.

const CELL = 12; // px of the grid in which points are looked for
const REACH = 9; // px from the pointer
const SHADES = 32;
const ENDS = { light: [[60, 100, 235], [150, 150, 160], [235, 120, 0]], dark: [[110, 150, 255], [140, 145, 155], [255, 160, 60]] };
const FAINT = 0.16; // of those that are not in the list

/** The colour of a share 0..1, [r, g, b] for a scheme. */
export function shade(share, scheme) {
  const ends = ENDS[scheme];
  const at = Math.min(1, Math.max(0, share)) * 2;
  const [a, b] = at < 1 ? [ends[0], ends[1]] : [ends[1], ends[2]];
  return a.map((v, i) => Math.round(v + (b[i] - v) * (at < 1 ? at : at - 1)));
}

/**
 * Draws points into `canvas`. `draw(points)`: `{xs, ys, shares, listed}` are shares 0..1 of width and height (NaN: not
 * drawn), of the colour scale (NaN: grey), and 1 for those in the list (null: all). `nearest(x, y)`: the point by the
 * place in px, or -1. `place(i)`: `[x, y]` in px. `within(box)`: those in `[x0, y0, x1, y1]`.
 */
export function scatter(canvas) {
  let [wide, high] = [0, 0];
  let places = new Float32Array(0); // x, y in px, one behind the other
  let drawn = new Uint32Array(0); // the points that have a place
  let listed = null;
  let cells = new Map(); // cell -> points in it

  function draw(points) {
    const ratio = window.devicePixelRatio || 1;
    [wide, high] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(high * ratio);
    lay(points);
    paint(points, ratio);
    return drawn.length;
  }

  function lay({ xs, ys, listed: which }) {
    listed = which;
    places = new Float32Array(2 * xs.length).fill(NaN);
    const found = [];
    cells = new Map();
    for (let i = 0; i < xs.length; i++) {
      const [x, y] = [xs[i] * wide, (1 - ys[i]) * high];
      if (!(x >= 0 && x <= wide && y >= 0 && y <= high)) continue;
      places[2 * i] = x;
      places[2 * i + 1] = y;
      found.push(i);
      const cell = key(x, y);
      const there = cells.get(cell);
      if (there) there.push(i);
      else cells.set(cell, [i]);
    }
    drawn = Uint32Array.from(found);
  }

  const key = (x, y) => Math.floor(y / CELL) * 10000 + Math.floor(x / CELL);

  /** Pixels, blended with what lies below: where many lie together it is darker. */
  function paint({ shares }, ratio) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const { data, width } = image;
    const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const palette = Array.from({ length: SHADES + 1 }, (_, n) => shade(n / SHADES, scheme));
    const size = Math.max(1, Math.round((drawn.length > 30000 ? 1.5 : drawn.length > 5000 ? 2.2 : 3.2) * ratio));
    for (const pass of [false, true]) // those of the list above the others
      for (const i of drawn) {
        const faint = listed !== null && !listed[i];
        if (faint === pass) continue;
        const [r, g, b] = palette[shares ? Math.round(SHADES * Math.min(1, Math.max(0, shares[i]))) || 0 : 0];
        const alpha = faint ? FAINT : 0.62;
        const [left, top] = [Math.round(places[2 * i] * ratio - size / 2), Math.round(places[2 * i + 1] * ratio - size / 2)];
        for (let y = Math.max(0, top); y < Math.min(canvas.height, top + size); y++)
          for (let x = Math.max(0, left); x < Math.min(width, left + size); x++) {
            const at = 4 * (y * width + x);
            const under = data[at + 3] / 255;
            const over = alpha + under * (1 - alpha);
            data[at] = (r * alpha + data[at] * under * (1 - alpha)) / over;
            data[at + 1] = (g * alpha + data[at + 1] * under * (1 - alpha)) / over;
            data[at + 2] = (b * alpha + data[at + 2] * under * (1 - alpha)) / over;
            data[at + 3] = 255 * over;
          }
      }
    context.putImageData(image, 0, 0);
  }

  function nearest(x, y) {
    let [best, least] = [-1, REACH ** 2];
    for (const dy of [-CELL, 0, CELL])
      for (const dx of [-CELL, 0, CELL])
        for (const i of cells.get(key(x + dx, y + dy)) ?? []) {
          if (listed !== null && !listed[i]) continue;
          const far = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
          if (far < least) [best, least] = [i, far];
        }
    return best;
  }

  const place = (i) => [places[2 * i], places[2 * i + 1]];

  function within([x0, y0, x1, y1]) {
    const found = [];
    for (const i of drawn) {
      const [x, y] = [places[2 * i], places[2 * i + 1]];
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && (listed === null || listed[i])) found.push(i);
    }
    return found;
  }

  return { draw, nearest, place, within };
}
