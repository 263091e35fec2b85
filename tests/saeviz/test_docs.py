"""The files that the documents name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`((?:features|prompts|saeviz|tests|templates|static|docs)/[\w./-]*)`")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def missing(text: str) -> list[str]:
    return [name for name in NAMED.findall(text) if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_files_that_are_there(document):
    assert missing(document.read_text()) == []


def test_a_file_that_is_not_there_is_noticed():
    assert missing("see `features/engine/nowhere.py` and `docs/definitions.md`") == ["features/engine/nowhere.py"]


def test_no_file_holds_the_marks_of_a_merge():
    suffixes, folders = (
        {".html", ".js", ".css", ".md", ".py"},
        ("docs", "features", "prompts", "saeviz", "static", "templates"),
    )
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    assert len(files) > 300
    assert [
        str(path) for path in files if b"\n<<<<<<< " in path.read_bytes() or b"\n>>>>>>> " in path.read_bytes()
    ] == []
