"""The tokens of a model whose tokenizer stays in a child process: what it may do to a text is bounded.

A tokenizer is a program that a file holds: it may write thousands of letters for one, or never come to an end. Its
tokens' bytes come over once, so that pages show text without it; what is typed goes to the child.
"""

from pathlib import Path

from ..confined.process import Bounds, ChildEnded, Children, ConfinedProcess
from ..text.chat import chat_template
from ..text.special_tokens import NAMED_IN, NUMBERED_IN
from ..text.tokenizer_file import FILE, TokenizerMissing
from .vocabulary import Vocabulary

FILES = (FILE, *NAMED_IN, *NUMBERED_IN, "chat_template.jinja", "chat_template.json")  # that tokens are read from
TEXT = Bounds(memory=1 << 30, seconds=5)  # for one text
FILE_BOUNDS = Bounds(memory=1 << 30, seconds=60)  # for reading the files, beside TIMES the bytes of them
TIMES = 30  # bytes that a whole tokenizer takes for each of its file's, twice over as it reads special tokens
HELD = 4  # tokenizers that a child keeps

tokenizers = Children(most=2)  # so that who waits for a text without end does not keep all others waiting


class ConfinedVocabulary(Vocabulary):
    """As `Vocabulary`; what takes a tokenizer raises TokenizerMissing where that goes beyond its bounds."""

    def __init__(self, folder: Path, signature: tuple, table: dict):
        self.folder, self.signature = folder, signature
        self.bos, self.eos, self.special = table["bos"], table["eos"], table["special"]
        self.size, self.ordinary_size, self._bytes = table["size"], table["ordinary_size"], table["bytes"]
        self._found = {}  # of `index_of_token_at`: the same few texts are asked for by every page of prompts

    @classmethod
    def load(cls, folder) -> "ConfinedVocabulary":
        folder = Path(folder)
        seen = signature(folder)
        return cls(folder, seen, _ask(folder, seen, _table, ()))

    def _encoded(self, text: str, special: bool) -> list[int]:
        return self._ask(_encoded, text, special)

    def many_ids(self, texts: list[str], special: bool = False) -> list[list[int]]:
        return self._ask(_many, texts, special)

    def index_of_token_at(self, text: str, character: int) -> int:
        if (text, character) not in self._found:
            self._found[text, character] = self._ask(_index_of_token_at, text, character)
        return self._found[text, character]

    def written(self, messages: list[dict], add_generation_prompt: bool = False) -> str:
        """A chat in the form of the model's template, which is a program as well. Raises ChatError."""
        return self._ask(_written, messages, add_generation_prompt)

    def _ask(self, function, *arguments):
        return _ask(self.folder, self.signature, function, arguments)


def signature(folder: Path) -> tuple:
    """(name, bytes, time) of the files that a tokenizer is read from: while they are the same, so are its tokens."""
    stats = [(name, (folder / name).stat()) for name in FILES if (folder / name).is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _ask(folder: Path, signature: tuple, function, arguments: tuple):
    key = str(folder), signature
    try:
        with tokenizers.one() as child:
            if key not in child.held:
                _hold(child, folder, key)
            if function is _table:
                return child.ask(function, (key,), FILE_BOUNDS, f"The tokenizer in {folder}")
            what = "chat template" if function is _written else "tokenizer"
            return child.ask(function, (key, *arguments), TEXT, f"The {what} in {folder}, on this text,")
    except ChildEnded as ended:
        raise TokenizerMissing(str(ended)) from ended


def _hold(child: ConfinedProcess, folder: Path, key: tuple) -> None:
    if len(child.held) >= HELD:
        child.held.clear()
    size = sum(size for _, size, _ in key[1])
    bounds = Bounds(FILE_BOUNDS.memory + TIMES * size, FILE_BOUNDS.seconds)
    child.ask(_read, (key,), bounds, f"{folder / FILE} ({size:,} bytes)")
    child.held.add(key)
    child.settle()


# In the child

_held: dict[tuple, Vocabulary] = {}


def _read(key: tuple) -> None:
    folder = Path(key[0])
    if signature(folder) != key[1]:
        raise TokenizerMissing(f"The tokenizer in {folder} has changed since it was read. Start the site again.")
    if len(_held) >= HELD:
        _held.clear()
    vocabulary = Vocabulary.load(folder)
    vocabulary.prepare()
    _held[key] = vocabulary


def _table(key: tuple) -> dict:
    vocabulary = _held[key]
    names = ("bos", "eos", "special", "size", "ordinary_size")
    return {name: getattr(vocabulary, name) for name in names} | {"bytes": vocabulary.all_bytes()}


def _encoded(key: tuple, text: str, special: bool) -> list[int]:
    return _held[key].ids(text, bos=False, special=special)


def _many(key: tuple, texts: list[str], special: bool) -> list[list[int]]:
    return _held[key].many_ids(texts, special)


def _index_of_token_at(key: tuple, text: str, character: int) -> int:
    return _held[key].index_of_token_at(text, character)


def _written(key: tuple, messages: list[dict], add_generation_prompt: bool) -> str:
    return chat_template(Path(key[0]))(messages, add_generation_prompt)
