"""Which documents are in a file or folder of text, from which file is each, and of which kind?

One reader for each ending, nothing unpacked beyond a limit.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..foreign_files import Unreadable, in_words, read_object
from .errors import CorpusError
from .notes import Notes
from .row_files import SEPARATOR, Found, read_csv, read_json, read_jsonl, read_txt  # noqa: F401  (for those who cut)
from .text_field import TextField
from .unpacking import MAX_BYTES, UNPACKERS

Reader = Callable[[Path, TextField, Notes, int], Found]
SHARD = re.compile(r"[-_.]?\d{3,}([-_.]of[-_.]\d{3,})?$")  # train-00003-of-00010 is a part of train
MOST_KINDS = 1000
MANY_COPIES = 0.05  # share of documents that are copies from which on it is said
METADATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json"}  # of `datasets`
PERHAPS = (".json", ".csv", ".tsv")  # in a folder: only where it has nothing else
KINDS_BY = ("folder", "file")  # else a field of the rows


@dataclass(frozen=True)
class Documents:
    """Texts with where they come from; lists of one length."""

    texts: list[str]
    sources: list[int]  # which of `files` each is from
    numbers: list[int]  # which of its file's documents it is, from 0 on
    kinds: list[int]  # which of `kind_names` it is of
    files: list[str]
    kind_names: list[str]
    notes: list[str] = field(default_factory=list)  # what was assumed, skipped, mended
    special: bool = False  # what spells a special token is that token: chats in the form of a template

    def __len__(self):
        return len(self.texts)

    def shuffled(self, seed: int = 0) -> "Documents":
        """In a fixed random order, so that the first rows are a fair mix of all."""
        order = list(range(len(self.texts)))
        random.Random(seed).shuffle(order)
        columns = ("texts", "sources", "numbers", "kinds")
        return replace(self, **{name: [getattr(self, name)[n] for n in order] for name in columns})


def read_documents(
    path,
    max_bytes: int = MAX_BYTES,
    files: list[Path] | None = None,
    text: TextField | None = None,
    kinds_by: str = "",
) -> Documents:
    """The documents of a file, or of every known file of a folder in the order of their names, or of `files` below it.

    `kinds_by` is "folder", "file", or a field of the rows; if not given, folders where there are several, else files.
    Raises CorpusError where there is no document, one is damaged, or they have more than `max_bytes` together.
    """
    path, notes = Path(path), Notes()
    files = files or document_files(path, notes)
    text = replace(text or TextField(), kind="" if kinds_by in KINDS_BY else kinds_by)
    texts, sources, numbers, said, size = [], [], [], [], 0
    for source, file in enumerate(files):
        for number, (document, kind) in enumerate(READERS[_format(file)](file, text, notes, max_bytes)):
            if not (document := _stripped(document, file, notes)):
                continue
            # Counted while they arrive: a small .gz can hold more text than the memory.
            size += len(document)
            if size > max_bytes:
                raise CorpusError(
                    f"{path} has more than {max_bytes:,} characters of text, the most that is read at once. "
                    "Give some of its files, or token ids as .npy."
                )
            columns = ((texts, document), (sources, source), (numbers, number), (said, kind))
            for column, value in columns:
                column.append(value)
    if not texts:
        raise CorpusError(f"No text in {path}: {' '.join([f'{len(files)} files, 0 documents.', *notes.sentences()])}")
    _say_copies(texts, notes)
    kinds, names = _kinds(path, files, sources, said, kinds_by)
    here = path if path.is_dir() else path.parent
    listed = [in_words(file.relative_to(here) if file.is_relative_to(here) else file.name) for file in files]
    return Documents(texts, sources, numbers, kinds, listed, names, notes.sentences(), notes.chats > 0)


def ending_of(file: Path) -> str | None:
    """The ending that says how a file is read, with that of its packing; None where no reader knows it."""
    known = _format(file)
    packed = file.suffix.lower() if file.suffix.lower() in UNPACKERS else ""
    return f"{known}{packed}" if known else None


def document_files(path: Path, notes: Notes | None = None) -> list[Path]:
    """A file that can be read, or all such files of a folder and those in it, by name. Raises CorpusError."""
    known = ", ".join(READERS)
    if not path.exists():
        raise CorpusError(f"{path} does not exist. A corpus is a file or a folder of {known}, or ids as .npy.")
    if not path.is_file() and not path.is_dir():
        raise CorpusError(f"{path} is neither a file nor a folder, a pipe perhaps. Name the one to read.")
    if path.is_file():
        if not _format(path):
            packed = ", ".join(UNPACKERS)
            raise CorpusError(
                f"{path} ends in none of {known} (nor one of them and {packed}). Rename it to .txt if that is what "
                "it is, or convert it to .jsonl."
            )
        return [path]
    notes = notes or Notes()
    if saved := _saved_by_datasets(path, notes):
        return saved
    found = (file.relative_to(path) for file in path.rglob("*") if _format(file) and file.is_file())
    names = sorted(name for name in found if not any(part.startswith(".") for part in name.parts))
    texts = texts_among(names)
    read = set(texts)
    if beside := [name for name in names if name not in read and name.name not in METADATA]:
        ends = ", ".join(PERHAPS)
        notes.say(f"{len(beside):,} files of {path.name} that end in {ends} are left out. Name one to read it.")
    if not texts:
        raise CorpusError(f"No text in {path}: 0 documents, no file ends in {known}. Put such files there.")
    return [path / name for name in texts]


def texts_among(names: list[Path]) -> list[Path]:
    """Those of a folder's files that are read, in their order. Settings and tables of figures lie beside texts: where
    there are other texts, these are none."""
    known = [name for name in names if _format(name) and name.name not in METADATA]
    return [name for name in known if _format(name) not in PERHAPS] or known


def _saved_by_datasets(folder: Path, notes: Notes) -> list[Path]:
    """The files of a folder that `save_to_disk` of `datasets` wrote: of its training split, if it has several."""
    splits = _json(folder / "dataset_dict.json").get("splits")
    if isinstance(splits, list) and splits:
        split = "train" if "train" in splits else splits[0]
        if split != "train" and len(splits) > 1:
            raise CorpusError(f"{folder} has {', '.join(splits)}, and no train. Name one: {folder / split}")
        notes.say(f"{folder.name} has the splits {', '.join(splits)}; {split} is read.")
        return _saved_by_datasets(folder / split, notes)
    state = _json(folder / "state.json").get("_data_files")
    names = [entry["filename"] for entry in state or [] if isinstance(entry, dict) and "filename" in entry]
    files = [folder / Path(name).name for name in names]  # never beside the folder
    if missing := [file.name for file in files if not file.is_file()]:
        raise CorpusError(f"{folder} lacks {', '.join(missing[:3])}, which its state.json names. Copy it whole.")
    return files


def _stripped(text: str, file: Path, notes: Notes) -> str:
    """Without blanks around it, and without the byte-order mark of a file that was joined to another."""
    text = text.strip()
    if text.startswith("\ufeff"):
        notes.add("mark", file)
        text = text.lstrip("\ufeff").strip()
    if not text:
        notes.add("empty", file)
    return text


def _json(path: Path) -> dict:
    try:
        return read_object(path) if path.is_file() else {}
    except Unreadable as error:
        raise CorpusError(str(error)) from error


def _format(file: Path) -> str | None:
    """The ending without that of a packing: parquet and Arrow are packed inside."""
    name = file.name.lower()
    plain = name.removesuffix(file.suffix.lower()) if file.suffix.lower() in UNPACKERS else name
    return next((e for e in READERS if plain.endswith(e) and (plain == name or e not in (".parquet", ".arrow"))), None)


def _kinds(path: Path, files: list[Path], sources: list[int], said: list, by: str) -> tuple[list[int], list[str]]:
    """Which kind each document is of, and the kinds' names, by how many are of them."""
    of_files = _kinds_of_files(path, files, by)
    if by and by not in KINDS_BY and not any(kind not in (None, "none") for kind in said):
        raise CorpusError(f'No row of {path} has "{by}", which was to say its kind. Name another: --kind NAME')
    named = [of_files[source] if kind is None else kind for source, kind in zip(sources, said, strict=True)]
    names = [name for name, _ in Counter(named).most_common()]
    if len(names) > MOST_KINDS:
        raise CorpusError(
            f'"{by or "file"}" has {len(names):,} values, more than {MOST_KINDS:,}: it names documents, not kinds. '
            "Choose with --kind: folder, file, or a field of the rows."
        )
    index = {name: n for n, name in enumerate(names)}
    return [index[name] for name in named], names


def _kinds_of_files(path: Path, files: list[Path], by: str) -> list[str]:
    here = path if path.is_dir() else path.parent
    folders = [str(f.parent.relative_to(here)) if f.is_relative_to(here) else f.parent.name for f in files]
    by_folder = by == "folder" or (by != "file" and len(set(folders)) > 1)
    if by_folder:
        return [in_words(here.name if folder == "." else folder) for folder in folders]
    # Parts of one text are of one kind, whatever their numbers.
    stems = [f.name[: -len(ending_of(f) or "")] if ending_of(f) else f.name for f in files]
    return [in_words(SHARD.sub("", stem) or stem) for stem in stems]


def _say_copies(texts: list[str], notes: Notes) -> None:
    counts = Counter(map(hash, texts))
    copies, commonest = len(texts) - len(counts), counts.most_common(1)[0]
    if copies > MANY_COPIES * len(texts) or (copies and commonest[1] >= 10):
        begins = next(text for text in texts if hash(text) == commonest[0])[:40]
        notes.say(
            f"{copies:,} of {len(texts):,} documents are copies of others: figures count each. The commonest is there "
            f"{commonest[1]:,} times: {begins!r} ..."
        )


def _columns(name: str) -> Reader:
    """A reader that needs pyarrow, which is loaded when a file needs it."""

    def read(file: Path, text: TextField, notes: Notes, max_bytes: int) -> Iterator:
        try:
            from . import columns
        except ImportError as error:
            raise CorpusError(f"{file}: {file.suffix} is not read here ({error}). Convert it to .jsonl.") from error
        return getattr(columns, name)(file, text, notes, max_bytes)

    return read


READERS: dict[str, Reader] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": _columns("read_parquet"),
    ".arrow": _columns("read_arrow"),
}
