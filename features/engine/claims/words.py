"""What does a claim say? As a reader is told it, in one line."""

from collections.abc import Callable

MOST = 4  # texts that are named


def in_words(claim: dict) -> str:
    """A claim of engine/claims/kinds.py as a sentence without its stop."""
    return WORDS[claim["kind"]](claim)


def _texts(texts: list[str]) -> str:
    named = ", ".join(f"“{text}”" for text in texts[:MOST])
    return named if len(texts) <= MOST else f"{named} or {len(texts) - MOST} more"


def _of_examples(what: str) -> Callable[[dict], str]:
    return lambda claim: f"{claim['share']:.0%} of its top activations {what} {_texts(claim['texts'])}"


def _of_logits(what: str) -> Callable[[dict], str]:
    def words(claim):
        place = "before all others" if claim["rank"] == 1 else f"among the first {claim['rank']}"
        return f"{what} “{claim['token']}”, {place}"

    return words


def _density(claim: dict) -> str:
    low, high = claim["between"]
    return f"fires on {low:.3%} to {high:.3%} of tokens"


def _helps(claim: dict) -> str:
    return f"makes the next token likelier by {claim['nats']:g} nats on its top activations"


def _pattern(claim: dict) -> str:
    threshold = claim.get("from", "any")
    active = "" if threshold == "any" else f", active from {threshold} on"
    return f"goes with {claim['pattern']}{active}: F1 at least {claim['f1']:.3f}"


WORDS = {
    "ends_with": _of_examples("end with"),
    "followed_by": _of_examples("are followed by"),
    "context": _of_examples("have in front of them"),
    "boosts": _of_logits("boosts"),
    "lowers": _of_logits("lowers"),
    "density": _density,
    "helps": _helps,
    "pattern": _pattern,
}
