"""Do a model, its two SAEs and a corpus give the counts, quantiles and correlations that were published of them?

The publishers counted all tokens of the first rows, BOS included, so one pass does it the same way here. Only the
features and neurons that are named are computed.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..engine.prompt import analyse
from ..engine.results import Progress
from ..engine.sae.sae import SparseAutoencoder
from ..engine.subject import Subject
from .published_numbers import Compared, compared, out_of_order

ROWS_AT_ONCE = 16
TOLERANCE = {
    "corpus": 0,  # tokens of a row that are others
    "counts": 0.01,  # of the count + 100: a value near 0 may fall to either side
    "act_quantile": 2,  # steps of the last digit that was published
    "order by act_quantile": 1e-4,
    "correlated_neurons": 0.003,
    "correlated_features": 0.003,
    "correlated_b": 0.003,
}


def compare_on_corpus(
    subject: Subject,
    published: dict,
    rows: np.ndarray,
    encoder_b: SparseAutoencoder | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> list[Compared]:
    """Each kind of published number that needs the corpus; those of encoder B where there is one."""
    rows = rows[: published["corpus_rows"]]
    found = {"corpus": _other_tokens(published, rows)}
    if len(rows) == published["corpus_rows"]:
        passed = _Pass(subject, published, encoder_b)
        passed.over(rows, progress or (lambda progress: None))
        found |= passed.found()
    return [compared(kind, off, TOLERANCE[kind]) for kind, off in found.items()]


def _other_tokens(published, rows) -> list[float]:
    """Of each published row: how many of its tokens are others here; all of them where there is no such row."""
    pairs = zip(published["row_numbers"], published["rows"], strict=True)
    return [
        float((rows[n, : len(ids)] != ids).sum()) if n < len(rows) and rows.shape[1] >= len(ids) else len(ids)
        for n, ids in pairs
    ]


class _Pass:
    """Sums over all tokens of the rows: counts, tokens below the prompt's activations, products of named pairs."""

    def __init__(self, subject: Subject, published: dict, encoder_b: SparseAutoencoder | None):
        self.subject, self.published = subject, published
        self.features = np.array([feature for feature, _ in published["counts"]])
        self.kinds = ["correlated_neurons", "correlated_features"] + ["correlated_b"] * (encoder_b is not None)
        self.others = {kind: np.unique([pair[1] for pair in published[kind]]) for kind in self.kinds}
        self.own = part_of(subject.sae, self.features)
        self.saes = {"correlated_features": part_of(subject.sae, self.others["correlated_features"])}
        if encoder_b is not None:
            self.saes["correlated_b"] = part_of(encoder_b, self.others["correlated_b"])
        self.prompt = analyse(subject, published["prompt"])
        self.asked = np.array([(p, feature) for p, feature, *_ in published["act_quantile"]], int).reshape(-1, 2)
        self.values = self.prompt.matrix(self.asked[:, 1])[np.arange(len(self.asked)), self.asked[:, 0]]
        self.tokens, self.counts, self.below = 0, 0.0, 0.0
        self.sums = {kind: [0.0] * 3 for kind in self.kinds}  # products, sums and squares of the others
        self.own_sums = [0.0, 0.0]

    @torch.no_grad()
    def over(self, rows: np.ndarray, progress) -> None:
        columns = np.searchsorted(self.features, self.asked[:, 1])
        values = torch.from_numpy(self.values).to(self.subject.device)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            h = self.subject.activations(rows[start : start + ROWS_AT_ONCE].astype(np.int64)).flatten(0, 1)
            f = self.own.encode(h)  # [tokens, features]
            self.tokens += len(h)
            self.counts = self.counts + (f > 0).sum(0)
            self.below = self.below + (f[:, columns] < values).sum(0)
            f = f.double()
            self.own_sums = [self.own_sums[0] + f.sum(0), self.own_sums[1] + f.square().sum(0)]
            for kind in self.kinds:
                self._add(kind, f, h)
            progress(Progress("activations", start + ROWS_AT_ONCE, len(rows)))

    def _add(self, kind: str, f: Tensor, h: Tensor) -> None:
        sae = self.saes.get(kind)
        other = (h[:, self.others[kind]] if sae is None else sae.encode(h)).double()
        parts = (f.t() @ other, other.sum(0), other.square().sum(0))
        self.sums[kind] = [total + part for total, part in zip(self.sums[kind], parts, strict=True)]

    def found(self) -> dict[str, np.ndarray]:
        """How far off each number is."""
        said = np.array([count for _, count in self.published["counts"]])
        steps, quantiles = (np.array([number[n] for number in self.published["act_quantile"]]) for n in (2, 3))
        ours = np.asarray(self.below.cpu()) / self.tokens
        found = {"counts": (self.counts.cpu().numpy() - said) / (said + 100)}
        found["act_quantile"] = (ours - quantiles) / steps
        known = {(feature, value): q for feature, value, q in zip(self.asked[:, 1], self.values, ours, strict=True)}
        found["order by act_quantile"] = out_of_order(
            self.prompt,
            self.published,
            "act_quantile",
            lambda features, values: np.array([known.get(pair, 0) for pair in zip(features, values, strict=True)]),
        )
        return found | {kind: self._correlations(kind) for kind in self.kinds}

    def _correlations(self, kind: str) -> np.ndarray:
        """Ours less theirs: Pearson, then cosine, of every named pair. Same as reference.pearson, cosine: exact."""
        products, sums, squares = self.sums[kind]
        (own, own_squares), n = self.own_sums, self.tokens
        covariance = products - own[:, None] * sums / n
        variances = (own_squares - own**2 / n)[:, None] * (squares - sums**2 / n)
        pearson, cosine = covariance / variances.sqrt(), products / (own_squares[:, None] * squares).sqrt()
        i = np.searchsorted(self.features, [pair[0] for pair in self.published[kind]])
        j = np.searchsorted(self.others[kind], [pair[1] for pair in self.published[kind]])
        said = np.array([pair[2:] for pair in self.published[kind]])
        return np.concatenate([pearson[i, j].cpu().numpy() - said[:, 0], cosine[i, j].cpu().numpy() - said[:, 1]])


def part_of(sae: SparseAutoencoder, features) -> SparseAutoencoder:
    """Some features of an SAE whose features stand alone, as an SAE of their own."""
    at = torch.as_tensor(features, device=sae.device)
    threshold = None if sae.threshold is None else sae.threshold[at]
    config = replace(sae.config, d_sae=len(at))
    return SparseAutoencoder(config, sae.W_enc[:, at], sae.W_dec[at], sae.b_enc[at], sae.b_dec, threshold)
