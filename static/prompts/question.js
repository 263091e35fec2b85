// What is a question? A text and how it is read, the tokens chosen, and how features are ranked on them.

export const SHOWN = 10; // features of a ranking, unless more are asked for; as forms.py

export const questionOf = ({ text, bos, read, positions, rank, max_density, top, add }) => ({ text, bos, read, positions, rank, max_density, top, add });
export const sameText = (a, b) => a && b && a.text === b.text && a.bos === b.bos && a.read === b.read;

/** The query string of a question, as views.py writes it. */
export function queryOf({ text, bos, read, positions, rank, max_density: density, top, add }) {
  const query = new URLSearchParams({ text });
  if (positions?.length) query.set("position", positions.join(","));
  query.set("rank", rank);
  if (!bos) query.set("bos", "0");
  if (read && read !== "text") query.set("read", read);
  if (density < 1) query.set("max_density", String(density));
  if (top && top !== SHOWN) query.set("top", top);
  if (add?.length) query.set("add", add.join(","));
  return query;
}

/** The question that an address asks. */
export const fromAddress = (query) => ({
  text: query.get("text"),
  bos: query.get("bos") !== "0",
  read: query.get("read") ?? "text",
  positions: query.get("position")?.split(",").map(Number) ?? [],
  rank: query.get("rank") ?? "act_size",
  max_density: Number(query.get("max_density") ?? 1),
  top: Number(query.get("top") ?? SHOWN),
  add: query.get("add")?.split(",").map(Number) ?? [],
});
