"""Styles and scripts have their hash in their names, down to what modules import; browsers keep them for good."""

import re
from pathlib import Path

import brotli
import pytest

from saeviz.serving import static_files


@pytest.mark.django_db
def test_pages_name_files_by_their_contents_which_are_sent_compressed_and_kept(settings, tmp_path, client):
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]  # the house's own
    root = tmp_path / "made"
    static_files.make(str(root))
    names = {str(path.relative_to(root)) for path in root.rglob("*")}
    scripts = [path for path in root.rglob("*.js")]
    assert len(scripts) == len(list(static_files.SOURCE.rglob("*.js")))
    for script in scripts:
        assert re.search(r"\.[0-9a-f]{12}\.js$", script.name)
        assert not script.read_text().startswith("//")  # each of the house's begins with its question
        for imported in re.findall(r"""\b(?:from|import\()\s*["'](\..*?)["']""", script.read_text()):
            there = (script.parent / imported).resolve().relative_to(root.resolve())
            assert str(there) in names, f"{script.name} imports {imported}"

    settings.STATIC_ROOT, settings.WHITENOISE_USE_FINDERS = str(root), False
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "saeviz.serving.hashed_names.HashedNames"}}
    (style,) = re.findall(r'href="(/static/shared/base\.[0-9a-f]{12}\.css)"', client.get("/").content.decode())
    answer = client.get(style, headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip" and "immutable" in answer["Cache-Control"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    of_pages = {"Cross-Origin-Opener-Policy", "Referrer-Policy", "Content-Security-Policy"}
    assert not of_pages & set(answer.headers)  # thirty come with a page
    assert int(answer["Content-Length"]) < (static_files.SOURCE / "shared" / "base.css").stat().st_size / 2


@pytest.mark.django_db
def test_a_page_is_sent_as_brotli_where_that_is_taken_and_its_length_tells_nothing(client):
    plain = client.get("/", headers={"Accept-Encoding": "br;q=0, identity"}).content
    taken = [client.get("/", headers={"Accept-Encoding": "gzip, br"}) for _ in range(6)]
    assert {answer["Content-Encoding"] for answer in taken} == {"br"}
    assert all(brotli.decompress(answer.content).startswith(plain.strip()) for answer in taken)
    assert len({len(answer.content) for answer in taken}) > 1
    assert all(int(answer["Content-Length"]) == len(answer.content) < len(plain) / 2 for answer in taken)


def test_files_are_made_once_for_each_version_and_not_at_all_where_nothing_can_be_written(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(
        static_files.subprocess, "run", lambda command, **_: made.append(Path(command[-1])) or Path(command[-1]).mkdir()
    )
    monkeypatch.setattr(static_files.paths, "ROOT", tmp_path)
    monkeypatch.setattr(static_files, "SOURCE", tmp_path / "static")
    monkeypatch.setattr(static_files, "MADE_WITH", ())
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.js").write_text("1")
    first = static_files.folder()
    assert static_files.folder() == first and len(made) == 1
    (tmp_path / "static" / "a.js").write_text("2")
    assert static_files.folder() not in (None, first) and len(made) == 2 and first.is_dir()
    (tmp_path / "static" / "a.js").write_text("3")
    monkeypatch.setattr(static_files, "_made", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert static_files.folder() is None


def test_no_paragraph_of_a_template_holds_what_would_end_it():
    held = re.compile(r"<p\b[^>]*>(?:(?!</p>).)*?<(?:form|div|section|table|ul|ol|details|fieldset|p|h\d)\b", re.DOTALL)
    templates = {path.name: path.read_text() for path in (static_files.paths.ROOT / "templates").rglob("*.html")}
    assert templates and [name for name, text in templates.items() if held.search(text)] == []
