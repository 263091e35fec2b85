// What does a card say of a token in a ranked feature's column?

import { facts } from "../shared/card.js";
import { activeAt, tokenAt, uncounted } from "../shared/sequences.js";
import { count, element, figure, quantileText, signed, visible } from "../shared/text.js";
import { queryOf, questionOf, SHOWN } from "./question.js";
import { without } from "./without.js";

/** Counted tokens of the statistics of the dashboard that a node stands in. */
const tokensOf = (node, boards) => boards.find((board) => board.node.contains(node))?.board.tokens;

/** The card of a token in a dashboard. */
export function tokenCard(node, { answer, boards, features }) {
  const { sequence, position } = tokenAt(node) ?? {};
  if (!sequence) return null;
  const here = activeAt(sequence, position);
  const before = activeAt(sequence, position - 1);
  const special = sequence.special.includes(position);
  return element("div", {}, element("strong", {}, "“", element("bdi", {}, visible(sequence.tokens[position])), "”"),
    element("span", { class: "muted" }, ` id ${sequence.ids[position]}${sequence.row === undefined ? `, token ${position}` : `, row ${count(sequence.row)}`}`),
    special && element("div", {}, uncounted(here || sequence.row === undefined)),
    facts([
      ["Activation", here ? figure(here.activation) : special && sequence.row !== undefined ? null : "0"],
      ["Quantile", here?.quantile === undefined ? null : quantileText(here.quantile, tokensOf(node, boards))],
      ["Loss effect on this token", before?.loss_effect == null ? null : `${signed(before.loss_effect)} nats`],
      ["Loss effect on the next", here?.loss_effect == null ? null : `${signed(here.loss_effect)} nats`],
    ]),
    here && sequence.row === undefined && without(address(node, position, answer, features)));
}

/** Where a board's feature is asked about on a token of the prompt. */
function address(node, position, answer, features) {
  const { feature } = node.closest("[data-feature]").dataset;
  return `${features}${feature}/without/?${queryOf({ ...questionOf(answer), positions: [position], rank: "act_size", max_density: 1, top: SHOWN, add: [] })}`;
}
