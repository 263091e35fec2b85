// What does this browser remember of its reader? (context width, log switch, starred features)

/** A remembered value, or `fallback` when there is none or storage is switched off. */
export function recall(key, fallback = null) {
  try {
    return JSON.parse(localStorage.getItem(`saeviz:${key}`)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Remember a value; does nothing when storage is switched off. */
export function remember(key, value) {
  try {
    localStorage.setItem(`saeviz:${key}`, JSON.stringify(value));
  } catch { /* a private window: the page works without */ }
}

/** The starred features of an SAE: `.all()`, `.has(index)`, `.toggle(index)` (true when it is starred now). */
export function stars(slug) {
  const key = `stars:${slug}`;
  const all = () => recall(key, []);
  return {
    all,
    has: (index) => all().includes(index),
    toggle(index) {
      const starred = !all().includes(index);
      remember(key, starred ? [...all(), index].sort((a, b) => a - b) : all().filter((i) => i !== index));
      return starred;
    },
  };
}
