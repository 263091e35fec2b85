"""Which tokens begin and end a text? Those that the files of a model folder name, and who named them."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from ..foreign_files import in_words
from .tokenizer_file import TokenizerMissing, read_settings

NAMED_IN = ("tokenizer_config.json", "special_tokens_map.json")  # in this order, as transformers reads them
NUMBERED_IN = ("generation_config.json", "config.json")  # where no tokenizer's file says anything


@dataclass(frozen=True)
class SpecialToken:
    """A token that is named for a role, or the reason why there is none."""

    text: str = ""
    id: int | None = None
    said: str = ""  # by which file; of none, why


def special_token(folder, tokenizer: Tokenizer, role: str) -> SpecialToken:
    """The token of a role, "bos" or "eos". Raises TokenizerMissing where a file that may name it cannot be read.

    A tokenizer's file that names none in so many words (null) is believed. Where all are silent, as GPT-2's are, the
    model's own number counts, if a special token has it.
    """
    folder, key, silent = Path(folder), f"{role}_token", True
    for name in NAMED_IN:
        settings = read_settings(folder / name)
        silent = silent and key not in settings
        if text := _text_of(settings.get(key), folder / name, key):
            id = tokenizer.token_to_id(text)
            missing = f"{name} names {text}, which tokenizer.json does not have"
            return SpecialToken(text, id, f"as {name} names it") if id is not None else SpecialToken(said=missing)
    named = silent and _numbered(folder, tokenizer, f"{key}_id")
    return named or SpecialToken(said=f"no file names a {key}")


def _text_of(value, path: Path, key: str) -> str:
    """The token's text: given as that, or as the token with its settings (transformers' AddedToken)."""
    text = value.get("content") if isinstance(value, dict) else value
    if text is not None and (not isinstance(text, str) or in_words(text) != text):
        raise TokenizerMissing(f"{path}: {key} is {value!r}; the text of a token is needed, or null.")
    return text or ""


def _numbered(folder: Path, tokenizer: Tokenizer, key: str) -> SpecialToken | None:
    special = {id: token for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    for name in NUMBERED_IN:
        said = read_settings(folder / name).get(key)
        # Several may end a text (a turn's end among them): the first is the document's.
        id = said[0] if isinstance(said, list) and said else said
        if isinstance(id, int) and id in special:
            return SpecialToken(special[id].content, id, f"as {name} numbers it")
    return None
