// Where does a value lie on an axis, and which numbers stand beside it?

import { ticks } from "../shared/histogram.js";

/** Lowest and highest of an array's numbers; by the logarithm those above 0. Null where there is none. */
export function extent(values, log) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!(log ? value > 0 : value === value)) continue; // NaN: it has none
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/**
 * An axis over `[low, high]`: `at(value)` is 0 to 1, NaN where it does not lie on it; `value(share)` is the way back;
 * `marks()` round numbers on it.
 */
export function axis([low, high], log) {
  const through = log ? Math.log10 : (value) => value;
  const back = log ? (value) => 10 ** value : (value) => value;
  const room = (through(high) - through(low)) * 0.02 || 0.5;
  const [from, span] = [through(low) - room, through(high) - through(low) + 2 * room];
  return {
    at: (value) => (log && !(value > 0) ? NaN : (through(value) - from) / span),
    value: (share) => back(from + share * span),
    marks() {
      if (!log) return ticks(from, from + span, 6);
      const found = [];
      const wide = span > 2; // decades: tens alone
      for (let power = Math.floor(from); power <= from + span; power++)
        for (const digit of wide ? [1] : [1, 2, 5]) {
          const value = digit * 10 ** power;
          if (through(value) >= from && through(value) <= from + span) found.push(value);
        }
      return found;
    },
  };
}
