// What does one ranked feature look like? Its part in the prompt, and an extract of its page.

import { underline } from "../shared/colours.js";
import { histogram, logitHue } from "../shared/histogram.js";
import { featureUrl } from "../shared/links.js";
import { logitScale, logitTable } from "../shared/logits.js";
import { asSequence, effectScale, oneStop, sequenceRow, tokenAt, woken } from "../shared/sequences.js";
import { count, element, figure, ofTokens, quantileText, signed } from "../shared/text.js";

export const METRICS = {
  act_size: { name: "Act size", text: (v) => figure(v), order: "largest activation first", together: "Scores are summed over" },
  act_quantile: { name: "Act quantile", text: quantileText, order: "rarest activation first", together: "Of each feature the highest quantile counts, of" },
  loss_effect: { name: "Loss effect", text: (v) => `${signed(v)} nats`, order: "negative lowers the loss; most helpful first", together: "Scores are summed over" },
};

/**
 * A feature as a column: `score` is its entry in the ranking, `board` its dashboard, `answer` the whole answer. With
 * `remove` it was named beside the ranking, and can be taken away again. Its heading and its line of the prompt are there at
 * once, the extract of its page after `drawStored()`.
 * `again()` asks once more for what could not be fetched.
 * Returns `{node, board, drawStored(again), mark(activation), unmark(), point(position)}`.
 */
export function dashboard(answer, score, board, features, remove = null) {
  const options = { maximum: board.maximum || 1, scale: effectScale([promptOf(answer, board), ...(board.top ?? [])]) };
  const line = woken(sequenceRow({ ...promptOf(answer, board), position: answer.position }, { ...options, context: "whole" }));
  line.classList.add("prompt-line");
  for (const p of answer.positions) line.querySelectorAll(".token")[p].classList.add("chosen");
  let plot = null;
  const extract = element("div", { class: "stored" });
  const node = element("article", { class: "board", "data-feature": board.feature, "aria-label": `Feature ${board.feature}` },
    head(answer, score, board, features, remove), line, extract);
  oneStop(node);
  const here = answer.positions.length === 1 ? score.activation ?? null : null; // a sum has no place among activations
  const unmark = () => plot && (here === null ? plot.clear() : plot.mark(Math.abs(here), figure(here, 3)));
  return {
    node,
    board,
    drawStored(again) {
      if (board.missing) return extract.replaceChildren(element("p", { class: "muted" }, board.why));
      if (board.trouble) return extract.replaceChildren(element("p", { class: "notice" }, `${board.trouble} `, element("button", { type: "button", onclick: again }, "Try again")));
      options.scale = effectScale([promptOf(answer, board), ...board.top]);
      for (const token of line.querySelectorAll(".token")) {
        const effect = board.loss_effects[tokenAt(token).position];
        for (const [name, value] of Object.entries(effect ? underline(effect, options.scale) : {})) token.style.setProperty(name, value);
      }
      plot = board.activation_histogram && histogram(board.activation_histogram, { height: 64, name: `Activations of feature ${board.feature}` });
      extract.replaceChildren(...stored(board, plot, options).filter(Boolean));
      unmark();
    },
    mark: (activation) => plot && (activation ? plot.mark(Math.abs(activation), figure(activation, 3)) : plot.clear()),
    unmark,
    point(position) {
      line.querySelectorAll(".token").forEach((token, p) => token.classList.toggle("pointed", p === position));
    },
  };
}

const promptOf = ({ tokens, token_ids: ids, special }, { activations, loss_effects: lossEffects }) =>
  asSequence({ tokens, ids, activations, lossEffects, special });

/** What a score is called: over several tokens it is a sum, and a quantile the highest of theirs. */
const nameOf = (rank, { positions }) =>
  positions.length === 1 ? METRICS[rank].name : `${METRICS[rank].name} (${rank === "act_quantile" ? "highest" : "sum"})`;

function head(answer, score, board, features, remove) {
  const others = Object.entries({ act_size: score.activation, act_quantile: score.quantile, loss_effect: score.loss_effect })
    .filter(([metric, value]) => metric !== answer.rank && value != null)
    .map(([metric, value]) => `${nameOf(metric, answer).toLowerCase()} ${METRICS[metric].text(value, board.tokens)}`);
  return element("header", {},
    element("h3", {},
      element("a", { class: "feature-link", href: featureUrl(features, board.feature) }, `#${board.feature}`),
      board.dead && element("span", { class: "badge warn" }, "dead"),
      board.dense && element("span", { class: "badge warn" }, "dense"),
      remove && element("span", { class: "muted added" }, score.place ? `added, place ${count(score.place)}` : "added"),
      remove && element("button", { type: "button", class: "quiet", "aria-label": `Take away feature ${board.feature}`, onclick: remove }, "×")),
    remove && !score.place
      ? element("p", { class: "score" }, silent(answer))
      : element("p", { class: "score" }, `${nameOf(answer.rank, answer)} `, element("strong", {}, METRICS[answer.rank].text(score.score, board.tokens))),
    element("p", { class: "muted others" }, others.join(", ")));
}

/** Of a feature that the ranking has not. */
const silent = ({ rank, positions, max_density: most }) =>
  `Not active on ${rank === "loss_effect" ? "the token before" : positions.length > 1 ? "these tokens" : "this token"}${most < 1 ? ", or denser than chosen" : ""}.`;

function stored(board, plot, options) {
  const logits = board.logits;
  const scale = logitScale(logits);
  return [
    element("h4", {}, "Activations ", element("span", { class: "muted" }, `density ${ofTokens(Math.round(board.density * board.tokens), board.tokens)}`)),
    plot?.node,
    element("div", { class: "both-logits" },
      element("section", {}, element("h4", {}, "Negative logits"), logitTable(logits.negative, scale, 5)),
      element("section", {}, element("h4", {}, "Positive logits"), logitTable(logits.positive, scale, 5))),
    element("h4", {}, "Top activations ", element("span", { class: "muted" }, `maximum ${figure(board.maximum)}`)),
    element("div", { class: "top", role: "list", "aria-label": "Top activations" }, board.top.map((sequence) => {
      const row = sequenceRow(sequence, { ...options, context: "short" });
      row.setAttribute("role", "listitem");
      return row;
    })),
    logits.histogram && histogram(logits.histogram, { height: 48, hue: logitHue, name: "Logit effects" }).node,
  ];
}
