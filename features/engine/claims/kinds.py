"""Does a feature do what somebody says of it? Claims that a machine can hold against figures or kept activations."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..ask.grammar import parse
from ..ask.one_feature import OneFeature
from ..ask.thresholds import Threshold
from ..model.vocabulary import Vocabulary
from ..results import FeatureStatistics, TokenValues


class Untestable(ValueError):
    """A claim that nothing speaks for or against; the message says why."""


def _nothing_kept(pattern: str, threshold: Threshold) -> OneFeature:
    raise Untestable("No activations are kept to hold a pattern against.")


@dataclass(frozen=True)
class Evidence:
    """A feature's figures, the text that its examples stand in, and what its kept activations say of a pattern."""

    statistics: FeatureStatistics
    rows: np.ndarray  # [n, length] token ids
    vocabulary: Vocabulary
    score: Callable[[str, Threshold], OneFeature] = _nothing_kept  # may raise Untestable

    def texts(self) -> list[tuple[str, str]]:
        """Of each top activation: its row up to and including the token, and what follows."""
        pieces = ((self.vocabulary.pieces(self.rows[row].tolist()), position) for row, position in self._top())
        return [("".join(row[: position + 1]), "".join(row[position + 1 :])) for row, position in pieces]

    def effects(self) -> list[float]:
        """Loss effect of each top activation on the token after it, nats; those that are known."""
        shown = self.statistics.shown
        rows = np.repeat(shown.rows, np.diff(shown.starts))  # [e] of each shown entry
        entries = zip(rows.tolist(), shown.positions.tolist(), strict=True)
        effects = dict(zip(entries, shown.loss_effects.tolist(), strict=True))
        # NaN, which is not equal to itself, stands at the end of a row.
        return [effects[entry] for entry in self._top() if effects[entry] == effects[entry]]

    def _top(self) -> list[tuple[int, int]]:
        """(corpus row, position) of each top activation."""
        top = self.statistics.examples.top
        return list(zip(top.rows.tolist(), top.positions.tolist(), strict=True))


@dataclass(frozen=True)
class Outcome:
    """Whether a claim holds, and the figure that says so."""

    holds: bool
    figure: str
    scores: dict | None = None  # of a pattern


def check_claim(claim: dict, evidence: Evidence) -> Outcome:
    """A claim is {"kind": …} and what the kind needs, see CLAIM_KINDS. Raises Untestable."""
    return CLAIM_KINDS[claim["kind"]].evaluate(claim, evidence)


def ends_with(claim, evidence) -> Outcome:
    """The share of top activations on a token with which the text so far ends in one of `texts`."""
    return _share(claim, [before.endswith(tuple(claim["texts"])) for before, _ in evidence.texts()])


def followed_by(claim, evidence) -> Outcome:
    """The share of top activations after which the text goes on with one of `texts`."""
    return _share(claim, [after.startswith(tuple(claim["texts"])) for _, after in evidence.texts()])


def context(claim, evidence) -> Outcome:
    """The share of top activations that have one of `texts` somewhere before them in their row."""
    return _share(claim, [any(text in before for text in claim["texts"]) for before, _ in evidence.texts()])


def boosts(claim, evidence) -> Outcome:
    """The rank of `token` among the tokens made likelier, the most first."""
    return _rank(claim, evidence.statistics.logits.positive, evidence.vocabulary)


def lowers(claim, evidence) -> Outcome:
    """The rank of `token` among the tokens made less likely, the most first."""
    return _rank(claim, evidence.statistics.logits.negative, evidence.vocabulary)


def density(claim, evidence) -> Outcome:
    """The share of tokens on which the feature fires."""
    low, high = claim["between"]
    share = evidence.statistics.density
    return Outcome(low <= share <= high, f"{share:.3%} of tokens")


def helps(claim, evidence) -> Outcome:
    """By how many nats, on average, the top activations make the true next token likelier."""
    # A loss effect is negative where the feature helps.
    effects = evidence.effects()
    gain = -float(np.mean(effects)) if effects else 0.0
    return Outcome(gain >= claim["nats"], f"{gain:.3f} nats")


def pattern(claim, evidence) -> Outcome:
    """The F1 of the feature with a pattern, over all kept activations."""
    scores = evidence.score(claim["pattern"], Threshold.read(claim.get("from", "any")))
    if not scores.held:
        raise Untestable(f"The pattern holds on none of {scores.tokens:,} tokens.")
    figure = f"F1 {scores.f1:.3f}: {scores.hits:,} hits, {scores.held:,} tokens with it, active on {scores.active:,}"
    return Outcome(scores.f1 >= claim["f1"], figure, scores.to_dict())


def _share(claim, matches: list[bool]) -> Outcome:
    # Without a single top activation nothing speaks for the claim.
    holds = bool(matches) and sum(matches) >= claim["share"] * len(matches)
    return Outcome(holds, f"{sum(matches)} of {len(matches)} top activations")


def _rank(claim, logits: TokenValues, vocabulary: Vocabulary) -> Outcome:
    tokens = [vocabulary.label(token) for token in logits.tokens.tolist()]
    if claim["token"] not in tokens:
        return Outcome(False, f"not among the first {len(tokens)}")
    # Ranks count from 1.
    rank = tokens.index(claim["token"]) + 1
    return Outcome(rank <= claim["rank"], f"place {rank}")


def _is_number(value) -> bool:
    # JSON's true is an int to Python.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_text(value) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _are_texts(value) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 100 and all(map(_is_text, value))


def _is_rank(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_range(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_share, value)) and value[0] <= value[1]


def _is_pattern(value) -> bool:
    return isinstance(value, str) and bool(parse(value))  # PatternError says where it cannot be read


def _is_threshold(value) -> bool:
    return isinstance(value, str) and bool(Threshold.read(value[:100]))


@dataclass(frozen=True)
class ClaimKind:
    evaluate: Callable[[dict, Evidence], Outcome]
    fields: dict[str, Callable]  # what it needs beside its kind, and what fits there
    may: dict[str, Callable] = field(default_factory=dict)  # what may be left out


TEXTS = {"texts": _are_texts, "share": _is_share}
RANK = {"token": _is_text, "rank": _is_rank}
CLAIM_KINDS = {
    "ends_with": ClaimKind(ends_with, TEXTS),
    "followed_by": ClaimKind(followed_by, TEXTS),
    "context": ClaimKind(context, TEXTS),
    "boosts": ClaimKind(boosts, RANK),
    "lowers": ClaimKind(lowers, RANK),
    "density": ClaimKind(density, {"between": _is_range}),
    "helps": ClaimKind(helps, {"nats": _is_number}),
    "pattern": ClaimKind(pattern, {"pattern": _is_pattern, "f1": _is_share}, {"from": _is_threshold}),
}


def why_unreadable(claim) -> str:
    """ "" for a claim that can be checked, else what is wrong with it."""
    kind = (
        CLAIM_KINDS.get(claim.get("kind")) if isinstance(claim, dict) and isinstance(claim.get("kind"), str) else None
    )
    if kind is None:
        return f'a check has a "kind", one of {", ".join(CLAIM_KINDS)}'
    if set(claim) - set(kind.may) != {"kind", *kind.fields}:
        return f"{claim['kind']} needs {' and '.join(kind.fields)}, nothing else"
    # The first field that does not fit is named; the others can wait.
    for name, fits in (kind.fields | kind.may).items():
        if name in claim and (why := _why_not(fits, claim[name])):
            return f"{name} of {claim['kind']} does not fit: {claim[name]!r}{why}".rstrip()
    return ""


def _why_not(fits, value) -> str:
    """ "" where a value fits; else what may be said behind it."""
    try:
        return "" if fits(value) else " "
    except ValueError as error:
        return f". {error}"
