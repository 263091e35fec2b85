"""BatchTopK (arXiv:2412.06410): k features a token on average over a batch in training, a threshold afterwards.

The threshold is a running mean that trainers begin far below where it ends, so in mid-training the file's own makes
another SAE of the same weights. k is known: which threshold lets k features be active on average is found on text
(`engine/calibration.py`) and becomes the answer `threshold`.
"""

from features.engine.sae.reading.answers import THRESHOLDS, Answers
from features.engine.sae.reading.recipe import Recipe, first

ON_AVERAGE, OWN, PER_TOKEN = THRESHOLDS
KS = (32, 64, 128)  # usual numbers of features a token


def choose(answers: Answers, recipe: Recipe, name: str | None, stored: float | None, k) -> None:
    """Set activation, k and threshold of the recipe: as answered, else the file's threshold once it has been learnt.

    name, stored: the tensor that holds the threshold and its value, None where there is none; k as the file says it.
    """
    answer = answers.accept("threshold", ON_AVERAGE)
    recipe.batch_topk = {"k": None, "threshold": stored, "settled": answer != ON_AVERAGE}
    if answer == OWN and name is not None:
        recipe.activation, recipe.threshold = "jumprelu", name
        recipe.batch_topk["k"] = _whole(k)
        recipe.notes.append(f"A feature is active above the file's own threshold, {stored:.4g}, as was answered.")
        return
    if answer == PER_TOKEN:
        recipe.activation, recipe.k = "topk", answers.resolve("k", k, KS)
        recipe.notes.append(f"BatchTopK, read with the {recipe.k} largest features of each token, as was answered.")
        return
    if answer not in (ON_AVERAGE, OWN):
        recipe.activation, recipe.threshold = "jumprelu", float(answer)
        recipe.batch_topk["k"] = _whole(first(k, answers.accept("k")))
        return
    if stored is not None and stored >= 0:
        recipe.activation, recipe.threshold, k = "jumprelu", name, first(k, answers.accept("k"))
    else:
        recipe.activation, recipe.k = "topk", answers.resolve("k", k, KS)
        recipe.notes.append("Its threshold was not learnt yet: the k largest features of each token are kept.")
        k = recipe.k
    recipe.batch_topk["k"] = _whole(k)


def _whole(k) -> int | None:
    return None if k is None else int(k)
