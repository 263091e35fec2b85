"""A chat as one text, in the form that the model was trained on: its tokenizer's chat template, in Jinja's sandbox.

As `apply_chat_template` of transformers: the same settings, filters and functions, without loading it. A template is
untrusted: it reaches no attribute of Python's objects and writes no more than LONGEST characters.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from ..foreign_files import Unreadable, plain_bytes
from .tokenizer_file import TokenizerMissing, read_settings

LONE = re.compile("[\ud800-\udfff]")
LONGEST = 4_000_000  # characters of one chat
LARGEST = 1 << 20  # bytes of a template
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class ChatError(ValueError):
    """A chat that the template refuses, or a template that does not work."""


def chat_template(folder) -> Callable[..., str] | None:
    """`write(messages, add_generation_prompt=False)` of a model folder; None where it has no template.

    Raises TokenizerMissing where the files that may hold one do not parse, ChatError where it is no template.
    """
    folder = Path(folder)
    source = template_source(folder)
    if not source:
        return None
    settings = {**read_settings(folder / "special_tokens_map.json"), **read_settings(folder / "tokenizer_config.json")}
    names = {name: _text(settings.get(name)) for name in SPECIAL if settings.get(name)}
    template = _compiled(source)

    def write(messages: list[dict], add_generation_prompt: bool = False) -> str:
        parts, size = [], 0
        try:
            given = {**names, "messages": messages, "add_generation_prompt": add_generation_prompt, "tools": None}
            for part in template.generate(given):
                size += len(part)
                if size > LONGEST:
                    raise ChatError(f"The chat template writes more than {LONGEST:,} characters.")
                parts.append(part)
        except ChatError:
            raise
        except Exception as error:  # whatever a template does; it is not ours
            raise ChatError(f"The chat template refuses these messages: {error or type(error).__name__}") from error
        return "".join(parts)

    return write


def messages_of(text: str) -> list[dict]:
    """A typed text as messages: JSON in their form, else one message of the user. Raises ChatError."""
    if not text.lstrip().startswith("[{"):
        return [{"role": "user", "content": text}]
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ChatError(f"The messages are no JSON: {error}.") from error
    if LONE.search(json.dumps(messages, ensure_ascii=False)):
        raise ChatError("The messages hold half a character (a lone surrogate, \\ud800 to \\udfff). Take it out.")
    if not all(isinstance(turn, dict) and isinstance(turn.get("role"), str) and "content" in turn for turn in messages):
        raise ChatError('A message is {"role": "user", "content": "..."}.')
    return messages


def template_source(folder) -> str:
    """The template as the model folder has it, in any of the three places; empty where it has none."""
    folder = Path(folder)
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return plain_bytes(file, LARGEST, "chat template").decode("utf-8")
        except Unreadable as error:
            raise ChatError(str(error)) from error
        except UnicodeDecodeError as error:
            raise ChatError(f"{file} is no UTF-8 text (byte {error.start:,}). Copy it again.") from error
    # Older folders have it in a config: that of the tokenizer, or one of its own.
    for name in ("tokenizer_config.json", "chat_template.json"):
        found = read_settings(folder / name).get("chat_template")
        if isinstance(found, list):  # several, by name
            named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
            found = named.get("default") or next(iter(named.values()), "")
        if found is not None and not isinstance(found, str):
            raise TokenizerMissing(f"{folder / name}: chat_template is a {type(found).__name__}, and text is needed.")
        if found:
            return found
    return ""


@lru_cache(maxsize=8)
def _compiled(source: str):
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """{% generation %} marks what the model says; the text is what is in it."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def refuse(message):
        raise ChatError(str(message))

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = lambda value, ensure_ascii=False, **more: json.dumps(
        value, ensure_ascii=ensure_ascii, **more
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(source)
    except Exception as error:  # the template's own faults, and what it leads the compiler into
        raise ChatError(f"The chat template does not work: {error or type(error).__name__}") from error


def _text(token) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)
