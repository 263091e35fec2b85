"""What do the tokenizer's files of a model folder hold? Read with bounds, and refused with the way out."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from ..foreign_files import LARGEST as LARGEST_JSON
from ..foreign_files import Unreadable, panics_as, plain_bytes, read_object, stand_in

FILE = "tokenizer.json"
# What transformers keeps a tokenizer in, where nobody has saved it as tokenizer.json.
OTHER_FORMS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "sentencepiece.bpe.model", "merges.txt")
LARGEST = 500 << 20  # bytes of a file that is read: the largest tokenizers known have some 40 MB


class TokenizerMissing(ValueError):
    """The model folder holds no usable tokenizer."""


def read_tokenizer(folder) -> Tokenizer:
    """`tokenizer.json` of a model folder. Raises TokenizerMissing where there is none, or it is none."""
    path = Path(folder) / FILE
    if not path.exists():
        raise TokenizerMissing(f"No usable {FILE} in {folder}: {_why_none(Path(folder))}")
    data = _bytes_of(path)
    try:
        with panics_as(TokenizerMissing, "the tokenizers library broke on it"):
            tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises bare Exception for every cause
        raise TokenizerMissing(f"No usable {FILE} in {folder}: {_what_instead(path, data) or error}") from error
    # Padding and truncation of the file serve training; here every text is tokenised as it is.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def read_settings(path) -> dict:
    """A JSON file of settings beside the tokenizer; empty where there is none.

    Raises TokenizerMissing where it does not parse: "names no BOS" may only be said of a file that was read.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        return read_object(path)
    except Unreadable as error:
        raise TokenizerMissing(f"{error} BOS and EOS are read from it: put the whole file there.") from error
    except OSError as error:
        raise TokenizerMissing(f"{path} cannot be read ({error.strerror}).") from error


def line_that_makes_it(folder) -> str:
    """The shell line that has transformers write tokenizer.json."""
    made = f"from transformers import AutoTokenizer; AutoTokenizer.from_pretrained({str(folder)!r})"
    return f'python -c "{made}.save_pretrained({str(folder)!r})"'


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer in some form, also one that has yet to be saved as tokenizer.json."""
    return any((folder / name).exists() for name in (FILE, *OTHER_FORMS))


def _why_none(folder: Path) -> str:
    others = [name for name in OTHER_FORMS if (folder / name).is_file()]
    if others:
        return f"it has {', '.join(others)}. transformers makes one of them: {line_that_makes_it(folder)}"
    has = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) if folder.is_dir() else ""
    return (
        f"it holds {has or 'nothing'}. Copy the tokenizer's files there; {line_that_makes_it('NAME')} writes them too."
    )


def _bytes_of(path: Path) -> bytes:
    """What is in a file, without a byte-order mark. Raises TokenizerMissing."""
    if path.is_dir():
        raise TokenizerMissing(f"{path} is a folder; a file of that name is needed.")
    try:
        return plain_bytes(path, LARGEST, "tokenizer")
    except Unreadable as error:
        raise TokenizerMissing(str(error)) from error
    except OSError as error:
        raise TokenizerMissing(f"{path} cannot be read ({error.strerror}).") from error


def _what_instead(path: Path, data: bytes) -> str:
    """What a file is that is no tokenizer; empty where nobody can tell. `data`: what is in it."""
    if not data.strip():
        return "it is empty. Copy it again."
    if instead := stand_in(path):
        return instead
    try:
        found = json.loads(data) if len(data) <= LARGEST_JSON else None
    except (ValueError, RecursionError):
        found = None
    if found is None:
        return ""
    keys = ", ".join(list(found)[:6]) if isinstance(found, dict) else type(found).__name__
    named = isinstance(found, dict) and "model" in found
    return "" if named else f"it is JSON with {keys or 'nothing'}, which is no tokenizer (it has no model)."
