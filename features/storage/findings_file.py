"""What has somebody found in this SAE? `findings.json` beside its weights: features and prompts to start from.

Written by people, so everything in it is checked before it is shown; what cannot be read is shown nowhere
and told by `manage.py check`. docs/findings.md says what may stand in it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from urllib.parse import urlencode

from ..engine.claims.kinds import why_unreadable
from ..engine.foreign_files import Unreadable, read_json

FILE = "findings.json"
MOST_BYTES = 1_000_000
MOST_FEATURES, MOST_PROMPTS = 500, 50
LONGEST = 1000  # characters of a sentence
RANKS = ("act_size", "act_quantile", "loss_effect")
WHOLE = ("position", "feature", "within")
EXPECTED = {"rank", *WHOLE}


class FindingsUnreadable(ValueError):
    """The file is there, but does not say what it should; the message says where."""


@dataclass(frozen=True)
class Finding:
    """A feature worth reading, and what there is to see on its page."""

    feature: int
    name: str
    sentence: str  # or "": a label that nobody has explained
    look_at: str  # or ""
    checks: tuple[dict, ...]  # see engine/claims/kinds.py


@dataclass(frozen=True)
class Prompt:
    """A prompt worth trying. Each expectation: on this token, by this ranking, this feature is among the first."""

    name: str
    text: str
    position: int  # of the token to look at, BOS in front counted
    rank: str  # the ranking to look at it by
    sentence: str
    expect: tuple[dict, ...]  # {"position", "rank", "feature", "within"}

    @property
    def query(self) -> str:
        """Its address on the prompt page."""
        return urlencode({"text": self.text, "position": self.position, "rank": self.rank})


@dataclass(frozen=True)
class Findings:
    features: tuple[Finding, ...] = ()
    prompts: tuple[Prompt, ...] = ()

    @property
    def names(self) -> dict[int, str]:
        """Feature -> its name."""
        return {finding.feature: finding.name for finding in self.features}

    def of(self, feature: int) -> Finding | None:
        return next((finding for finding in self.features if finding.feature == feature), None)


NOTHING = Findings()


def findings_of(sae) -> Findings:
    """Those of an SAE; nothing where there is no file or where it cannot be read."""
    try:
        return read_of(sae)
    except FindingsUnreadable:
        return NOTHING


def read_of(sae) -> Findings:
    """The same. Raises FindingsUnreadable."""
    file = file_of(sae.path)
    try:
        looked = file.stat()
    except OSError:
        return NOTHING
    if not S_ISREG(looked.st_mode):  # a pipe would be waited for, for ever
        raise FindingsUnreadable(f"{file} is no plain file")
    return _read(file, sae.d_sae, looked.st_mtime_ns, looked.st_size)


def file_of(checkpoint) -> Path:
    """In a checkpoint's folder `findings.json`; beside a checkpoint of one file, 25.pt, `25.findings.json`."""
    checkpoint = Path(checkpoint)
    return checkpoint / FILE if checkpoint.is_dir() else checkpoint.with_suffix(f".{FILE}")


@lru_cache(maxsize=64)
def _read(file: Path, d_sae: int, changed: int, size: int) -> Findings:
    """`changed` and `size` are in the key: an edited file is read anew."""
    try:
        found = read_json(file, MOST_BYTES)
    except (OSError, Unreadable) as error:
        raise FindingsUnreadable(f"{file} cannot be read: {error}") from error
    try:
        return parsed(found, d_sae)
    except FindingsUnreadable as problem:
        raise FindingsUnreadable(f"{file}: {problem}") from None


def parsed(found, d_sae: int) -> Findings:
    """Raises FindingsUnreadable, which names the entry."""
    _need(isinstance(found, dict), "the file", '{"features": [...], "prompts": [...]}')
    features = _entries(found, "features", MOST_FEATURES)
    prompts = _entries(found, "prompts", MOST_PROMPTS)
    read = Findings(
        tuple(_finding(entry, f"features[{at}]", d_sae) for at, entry in enumerate(features)),
        tuple(_prompt(entry, f"prompts[{at}]", d_sae) for at, entry in enumerate(prompts)),
    )
    _need(len(read.names) == len(read.features), "features", "each feature once")
    return read


def _entries(found: dict, name: str, most: int) -> list[dict]:
    entries = found.get(name, [])
    fits = isinstance(entries, list) and len(entries) <= most and all(isinstance(entry, dict) for entry in entries)
    _need(fits, name, f"a list of at most {most} objects")
    return entries


def _finding(entry: dict, where: str, d_sae: int) -> Finding:
    checks = entry.get("checks", [])
    _need(isinstance(checks, list), where, "a list of checks")
    for claim in checks:
        if problem := why_unreadable(claim):
            raise FindingsUnreadable(f"{where}: {problem}")
    name = _words(entry, "name", where)
    more = (_words(entry, field, where) if field in entry else "" for field in ("sentence", "look_at"))
    return Finding(_feature(entry, where, d_sae), name, *more, tuple(checks))


def _prompt(entry: dict, where: str, d_sae: int) -> Prompt:
    position, rank, expect = entry.get("position"), entry.get("rank", "loss_effect"), entry.get("expect", [])
    _need(_is_whole(position), where, "a position: a token's number, BOS in front counted")
    _need(rank in RANKS, where, f"a rank, one of {', '.join(RANKS)}")
    _need(isinstance(expect, list) and all(isinstance(part, dict) for part in expect), where, "a list called expect")
    for part in expect:
        _feature(part, where, d_sae)
        fits = set(part) == EXPECTED and part["rank"] in RANKS and all(_is_whole(part[name]) for name in WHOLE)
        _need(fits, where, f"expectations made of {', '.join(sorted(EXPECTED))}")
    name, text, sentence = (_words(entry, field, where) for field in ("name", "text", "sentence"))
    return Prompt(name, text, position, rank, sentence, tuple(expect))


def _words(entry: dict, name: str, where: str) -> str:
    words = entry.get(name)
    _need(isinstance(words, str) and 0 < len(words) <= LONGEST, where, f"a {name} of 1 to {LONGEST:,} characters")
    return words


def _feature(entry: dict, where: str, d_sae: int) -> int:
    feature = entry.get("feature")
    _need(_is_whole(feature) and feature < d_sae, where, f"a feature from 0 to {d_sae - 1:,}")
    return feature


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _need(fits, where: str, what: str) -> None:
    if not fits:
        raise FindingsUnreadable(f"{where} needs {what}")
