"""What is asked of a prompt, and can it be answered? Read, checked and refused before any model work."""

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from django.conf import settings

from features.runtime import Unavailable
from features.storage.readers import vocabulary_of

RANKS = ("act_size", "act_quantile", "loss_effect")
FORM_TYPE = "application/x-www-form-urlencoded"
CONTEXT_NAMES = ("n_ctx", "max_position_embeddings", "n_positions", "max_sequence_length")


class Refused(Exception):
    """What is asked cannot be answered; the message says why and what to do."""

    def __init__(self, message, status=400):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Asked:
    """A prompt, its tokens, and what is asked of them. Positions count the tokens, BOS included."""

    text: str
    ids: tuple[int, ...]
    bos: bool
    positions: tuple[int, ...]
    rank: str
    max_density: float  # features active on a larger share of tokens are left out

    @property
    def position(self):
        return self.positions[-1]


def asked_of(request, sae):
    """The checked question, or Refused. Line ends of forms (CRLF) are read as plain newlines."""
    fields = fields_of(request)
    text = _text(fields)
    bos = _choice(fields, "bos", {"1": True, "0": False}, "1")
    rank = _choice(fields, "rank", {name: name for name in RANKS}, "act_size")
    max_density = _share(fields, "max_density")
    positions = _numbers(fields, "position")
    ids = tuple(ids_of(sae, text, bos))
    if not positions:
        positions = (len(ids) - 1,)
    for position in positions:
        if not 0 <= position < len(ids):
            raise Refused(
                f"Position {position:,} is outside the prompt: its {len(ids):,} tokens have positions 0 to "
                f"{len(ids) - 1:,}. Choose one of them."
            )
    return Asked(text, ids, bos, positions, rank, max_density)


def refuse_unread(request):
    """Refuse what is far too long by its announced size alone, before anybody reads the body."""
    announced = request.META.get("CONTENT_LENGTH") or "0"
    size = int(announced) if announced.isdigit() else 0
    most = 3 * settings.SAEVIZ_PROMPT_BYTES + 1000  # a byte may take three in a form; and the other fields
    if request.method == "POST" and size > most:
        raise Refused(
            f"The request has {size:,} bytes; this site reads prompts of {settings.SAEVIZ_PROMPT_BYTES:,}. "
            "Shorten the prompt.",
            413,
        )


def fields_of(request):
    """The fields of the query and of a posted form, decoded strictly: Django replaces what is not UTF-8."""
    raw = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    if request.method == "POST":
        if request.content_type != FORM_TYPE:
            raise Refused(f"The prompt came as {request.content_type or 'nothing'}; send {FORM_TYPE}.")
        raw = raw + b"&" + request.body
    return dict(_field(pair) for pair in raw.split(b"&") if pair)


def ids_of(sae, text, bos):
    """Token ids of a prompt that this model can read whole, or Refused. Needs the tokenizer only."""
    ids = tokenizer_of(sae).ids(text, bos=bos)
    most = most_tokens(sae)
    if len(ids) > most:
        raise Refused(f"Prompt has {len(ids):,} tokens; this model reads {most:,}. Shorten it.")
    return ids


def tokenizer_of(sae):
    """The model's vocabulary, or Unavailable."""
    try:
        return vocabulary_of(sae)
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The tokenizer of {sae.slug} could not be read: {str(error).rstrip('.')}. "
            "Put the model's files back and ask again; the rest of the site works."
        ) from error


def most_tokens(sae):
    """The most tokens of one prompt: what the site allows, and never beyond the model's context."""
    try:
        return min(settings.SAEVIZ_PROMPT_TOKENS, _context(sae.model_path))
    except (OSError, ValueError):  # not kept: the files may come back
        return settings.SAEVIZ_PROMPT_TOKENS


@functools.lru_cache(maxsize=64)
def _context(model_path):
    """Tokens the model reads at once, from the config beside its weights."""
    config = json.loads((Path(model_path) / "config.json").read_text())
    named = (config.get(name) for name in CONTEXT_NAMES)
    return next((n for n in named if isinstance(n, int)), settings.SAEVIZ_PROMPT_TOKENS)


def _field(pair):
    name, _, value = (part.replace(b"+", b" ") for part in pair.partition(b"="))
    name = unquote_to_bytes(name).decode("latin-1")
    value = unquote_to_bytes(value)
    if name == "text":
        _refuse_size(value)
    try:
        return name, value.decode()
    except UnicodeDecodeError as error:
        what = "The prompt" if name == "text" else f"The field {name!r}"
        raise Refused(
            f"{what} is not UTF-8: byte {value[error.start]:#04x} at {error.start:,}. Send it as UTF-8."
        ) from None


def _refuse_size(value):
    most = settings.SAEVIZ_PROMPT_BYTES
    if len(value) > most:
        raise Refused(f"Prompt has {len(value):,} bytes; this site reads {most:,}. Shorten it.", 413)


def _text(fields):
    text = fields.get("text", "").replace("\r\n", "\n")
    if not text:
        raise Refused("The prompt is empty. Type some text or choose an example.")
    if "\0" in text:
        raise Refused(f"The prompt has a NUL character at {text.index(chr(0)):,}. Take it out.")
    return text


def _choice(fields, name, choices, default):
    value = fields.get(name) or default
    if value not in choices:
        raise Refused(f"{name}={_short(value)} is unknown. Choose one of: {', '.join(choices)}.")
    return choices[value]


def _numbers(fields, name):
    """Positions, as in 3 or 3,4,5; each once, ascending. Empty where none is given."""
    value = fields.get(name, "")
    try:
        return tuple(sorted({int(part) for part in value.split(",")})) if value.strip() else ()
    except ValueError:
        raise Refused(
            f"{name}={_short(value)} is not a number. Give a token's index from 0 on, or several: 3,4,5."
        ) from None


def _share(fields, name):
    value = fields.get(name) or "1"
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise Refused(f"{name}={_short(value)} is not a share. Give a number from 0 to 1.")
    return share


def _short(value):
    return repr(value if len(value) <= 40 else value[:40] + "…")
