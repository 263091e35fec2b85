// Which colour does a number have? Text on it always keeps a contrast of 4.5:1 or more.

const PAGE = { light: [255, 255, 255], dark: [20, 22, 26] }; // as --page in base.css
const INK = { light: [23, 25, 28], dark: [232, 234, 237] }; // as --ink in base.css
const HUES = {
  orange: { light: [255, 140, 0], dark: [255, 150, 40] },
  blue: { light: [110, 140, 255], dark: [96, 140, 255] },
  red: { light: [255, 105, 97], dark: [255, 100, 92] },
};

const mix = (from, to, share) => from.map((v, i) => Math.round(v + (to[i] - v) * share));
const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** Relative luminance of an [r, g, b] of 0..255 (WCAG). */
export function luminance(rgb) {
  const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Contrast ratio of two [r, g, b] (WCAG): 1 to 21. */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** The scheme's own ink where it is readable, else black or white, whichever reads better. */
function inkOn(background, scheme) {
  if (contrast(background, INK[scheme]) >= 4.6) return INK[scheme];
  return contrast(background, [0, 0, 0]) > contrast(background, [255, 255, 255]) ? [0, 0, 0] : [255, 255, 255];
}

const FINEST = 512; // steps of a fill: twice as many as a colour has
const fills = new Map(); // hue and step -> style

/** Style of a box whose fill shows `share` (0..1) of a hue ("orange", "blue", "red"), right in both schemes. */
export function fill(share, hue = "orange") {
  const step = share <= 0 ? 0 : Math.round(FINEST * (0.1 + 0.9 * Math.min(1, share))); // the faintest still differs from nothing
  const key = `${hue} ${step}`;
  if (!fills.has(key)) fills.set(key, filled(step / FINEST, hue));
  return fills.get(key);
}

function filled(amount, hue) {
  const [light, dark] = ["light", "dark"].map((scheme) => {
    const background = mix(PAGE[scheme], HUES[hue][scheme], amount);
    return { background: css(background), ink: css(inkOn(background, scheme)) };
  });
  return {
    "background-color": `light-dark(${light.background}, ${dark.background})`,
    color: `light-dark(${light.ink}, ${dark.ink})`,
  };
}

/** Style of a box for an activation: orange by its size, and striped where it is negative (few SAEs have such). */
export function activationFill(activation, maximum) {
  if (!activation) return {};
  const stripes = "repeating-linear-gradient(135deg, transparent 0 3px, rgb(128 128 128 / 0.35) 3px 5px)";
  return { ...fill(Math.abs(activation) / maximum), ...(activation < 0 ? { "background-image": stripes } : {}) };
}

/** Style of the underline of a loss effect in nats: solid blue helps, dashed red hurts; full colour at `scale`. */
export function underline(effect, scale) {
  const amount = Math.min(1, Math.abs(effect) / scale);
  if (!(amount > 0.02)) return {};
  const strength = Math.round(25 + 75 * amount);
  const hue = effect < 0 ? "--helps" : "--hurts";
  return {
    "border-bottom-style": effect < 0 ? "solid" : "dashed",
    "border-bottom-color": `color-mix(in srgb, var(${hue}) ${strength}%, transparent)`,
  };
}
