"""Which feature of another checkpoint, run or SAE is this one? By index, decoder or activations, beside chance."""

from dataclasses import dataclass
from functools import lru_cache

from ...engine.training.activity_match import ActivityMatch, activity_match
from ...models import SAE
from ...storage.kept_activations import NothingKept, kept_of
from ...storage.readers import autoencoder_of
from ..history import checkpoint_of


@dataclass(frozen=True)
class Counterpart:
    """What a feature is in another SAE that reads the same place."""

    index: int | None  # the same number, where both are of one run: no search is needed
    decoder: object  # DecoderMatch
    decoder_chance: float
    activity: ActivityMatch | None
    why_no_activity: str  # a sentence, where there is none

    @property
    def feature(self) -> int:
        """The one that pages show beside it: of the same run the same index, else matched, else by decoder."""
        return self.decoder.feature if self.index is None else self.index

    @property
    def verdict(self) -> str:
        """As docs/definitions.md has it: matched, decoder only, activations only, unmatched."""
        by_decoder = self.decoder.mutual and self.decoder.cosine > self.decoder_chance
        activity = self.activity
        by_activity = activity is not None and activity.mutual and activity.correlation > activity.chance
        if by_decoder and activity is not None and activity.feature == self.decoder.feature:
            by_activity = activity.correlation > activity.chance
        if by_decoder and by_activity and activity.feature == self.decoder.feature:
            return "matched"
        if by_decoder:
            return "decoder only"
        return "activations only" if by_activity else "unmatched"


def counterpart(feature: int, sae: SAE, other: SAE) -> Counterpart:
    """Of a feature of `sae` in `other`, which reads the same place. Raises CheckpointError, or ValueError where the
    two read different places."""
    from ...engine.training.decoder_match import decoder_match

    if why := sae.not_comparable(other).replace("encoder B has", "both have"):
        raise ValueError(why)
    own, others = unit_rows_of(sae), unit_rows_of(other)
    activity, why = _by_activity(feature, sae, other)
    return Counterpart(
        feature if _in_one_run(sae, other) else None,
        decoder_match(own, others, feature),
        decoder_chance(other),
        activity,
        why,
    )


def _in_one_run(sae: SAE, other: SAE) -> bool:
    moments = checkpoint_of(sae), checkpoint_of(other)
    return None not in moments and moments[0].run_id == moments[1].run_id


def _by_activity(feature: int, sae: SAE, other: SAE) -> tuple[ActivityMatch | None, str]:
    if why := why_no_activity(sae, other):
        return None, why
    mine, corpus = sae.statistics, sae.statistics.corpus
    found = activity_match(kept_of(sae), kept_of(other), feature, mine.tokens, corpus.row_length - corpus.first)
    return found, "" if found else "It fires too seldom on these tokens, or meets no other often enough, to tell."


def why_no_activity(sae: SAE, other: SAE) -> str:
    """A sentence, where activations of the two cannot be compared."""
    mine, its = sae.statistics, other.statistics
    if mine is None or its is None or mine.corpus_id != its.corpus_id or mine.tokens != its.tokens:
        return "Activations are not compared: the two have no statistics on the same tokens."
    try:
        kept_of(sae), kept_of(other)
    except NothingKept as why:
        return f"Activations are not compared. {why}"
    return ""


def unit_rows_of(sae: SAE):
    """Decoder rows of length one. [d_sae, d_in] float32"""
    return _unit_rows(sae.subject_key, sae.pk)


def decoder_chance(other: SAE) -> float:
    """The decoder cosine that a direction that has nothing to do with this SAE would reach once in a hundred times."""
    return _chance(other.subject_key, other.pk)


@lru_cache(maxsize=2)  # a decoder may have hundreds of MB
def _unit_rows(key: tuple, pk: int):
    from ...engine.training.decoder_match import unit_rows

    return unit_rows(autoencoder_of(SAE.objects.get(pk=pk)).W_dec)


@lru_cache(maxsize=64)
def _chance(key: tuple, pk: int) -> float:
    from ...engine.training.decoder_match import chance_cosine

    return chance_cosine(_unit_rows(key, pk))
