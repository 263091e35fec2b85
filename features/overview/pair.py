"""Two features of one SAE side by side: how alike they write, and how they fire together."""

from functools import lru_cache

import numpy as np

from ..browse import feature_json
from ..browse.feature_json import CorpusText
from ..browse.windows import cut
from ..engine.results import SHORT_CONTEXT, ExampleGroup
from ..models import SAE, Feature
from ..storage.kept_activations import NothingKept, kept_of
from ..storage.payload import unpack_part
from ..storage.readers import autoencoder_of

SHARED = 10  # examples on which both are strong


def nearest(row: Feature) -> int | None:
    """The feature whose decoder is most like its own, as it was stored."""
    found = _relatives(row).neighbours.indices
    return int(found[0]) if len(found) else None


def decoder_cosine(sae: SAE, a: Feature, b: Feature) -> float:
    """As stored with either, else of the weights. Raises CheckpointError, OSError, or ValueError."""
    for one, other in ((a, b), (b, a)):
        relatives = _relatives(one)
        correlated = relatives.correlated_features
        for indices, cosines in (
            (relatives.neighbours.indices, relatives.neighbours.cosine),
            (correlated.indices, correlated.decoder_cosine),
        ):
            if len(cosines) and (at := np.flatnonzero(indices == other.index)).size:
                return float(cosines[at[0]])
    decoder = _decoder(sae.pk, sae.checkpoint_hash)
    one, other = decoder[a.index].double(), decoder[b.index].double()
    return float(one @ other / (one.norm() * other.norm()))


def _relatives(row: Feature):
    return unpack_part(row.payload, "relatives")


@lru_cache(maxsize=1)  # it may have hundreds of MB
def _decoder(pk: int, checkpoint_hash: str):
    return autoencoder_of(SAE.objects.get(pk=pk)).W_dec


def together(sae: SAE, a: Feature, b: Feature) -> dict:
    """On how many counted tokens both fire, how their activations correlate, and where both are strong.

    Pearson correlation over all counted tokens, zeros included: (sum fg - n mean f mean g) / (n sd f sd g). Raises
    NothingKept; ValueError or OSError where the text is gone.
    """
    kept = kept_of(sae)
    one, other = kept.feature(a.index), kept.feature(b.index)
    tokens, of_one, of_other = np.intersect1d(one.tokens, other.tokens, assume_unique=True, return_indices=True)
    f, g = one.values[of_one].astype(np.float64), other.values[of_other].astype(np.float64)
    n, sums = a.tokens, kept.sums[[0, 2]][:, [a.index, b.index]]  # sums of values, of squares; [2, 2]
    spread = np.sqrt(np.maximum(sums[1] / n - (sums[0] / n) ** 2, 0)).prod()
    covariance = (f * g).sum() / n - (sums[0] / n).prod()
    expected = a.count * b.count / n
    # Where the weaker of the two, each as a share of its maximum, is strongest.
    strength = np.minimum(np.abs(f) / (a.maximum or 1), np.abs(g) / (b.maximum or 1))
    best = np.argsort(-strength, kind="stable")[:SHARED]
    return {
        "both": len(tokens),
        "correlation": float(covariance / spread) if spread else None,
        "given_a": len(tokens) / a.count if a.count else None,
        "given_b": len(tokens) / b.count if b.count else None,
        "lift": len(tokens) / expected if expected else None,
        "examples": _examples(sae, one, tokens[best].astype(np.int64), f[best], g[best]),
    }


def _examples(sae: SAE, entries, tokens: np.ndarray, f: np.ndarray, g: np.ndarray) -> list[dict]:
    """As sequences of the first feature, with the second one's activation on the chosen token."""
    corpus = sae.statistics.corpus
    width = corpus.row_length - corpus.first
    rows, positions = tokens // width, tokens % width + corpus.first
    text, before, after = CorpusText.of(sae), *SHORT_CONTEXT
    found = []
    for row, position, own, others in zip(rows.tolist(), positions.tolist(), f.tolist(), g.tolist(), strict=True):
        start, stop = row * width, (row + 1) * width  # tokens of its row
        part = slice(*np.searchsorted(entries.tokens, [start, stop]))
        places = entries.tokens[part].astype(np.int64) - start + corpus.first
        active = [
            {"position": place, "activation": value, "loss_effect": None}
            for place, value in zip(places.tolist(), feature_json.numbers(entries.values[part]), strict=True)
        ]
        one = np.array([row]), np.array([position]), np.array([own]), np.array([1])
        (sequence,) = feature_json.sequences_of(ExampleGroup(*one), {row: active}, text)
        found.append(cut(sequence, (before, after)) | {"other": feature_json.numbers([others])[0]})
    return found


def compared(sae: SAE, a: Feature, b: Feature) -> dict:
    """Both, with a sentence for what cannot be told."""
    told = {"cosine": None, "why_no_cosine": "", "together": None, "why_apart": ""}
    try:
        told["cosine"] = decoder_cosine(sae, a, b)
    except (ValueError, OSError) as problem:
        told["why_no_cosine"] = str(problem)
    try:
        told["together"] = together(sae, a, b)
    except (NothingKept, ValueError, OSError) as problem:
        told["why_apart"] = str(problem)
    return told
