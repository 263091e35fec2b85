"""Imports point one way, saeviz -> prompts -> features -> features.engine; nothing loads before its time."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What a room may not import, from the roof down to the cellar.
FORBIDDEN = {
    "prompts": ("saeviz",),
    "features": ("saeviz", "prompts"),
    "features/engine": ("saeviz", "prompts", "django", "celery", "redis", "kombu"),
}
LEAVES_THE_MACHINE = re.compile(
    r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//"""  # tags
    r"""|url\(\s*["']?(?:https?:)?//|@import\s+["'](?:https?:)?//"""  # stylesheets
    r"""|(?:from|import|fetch)\s*\(?\s*["'`](?:https?:)?//""",  # modules
    re.IGNORECASE,
)


def sources(room):
    return sorted(path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)


def imports(path):
    """Every module a file imports, at the top or inside a function, by its absolute name, with its line."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)


def crossing(room, forbidden):
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(room)
        for line, name in imports(path)
        if name.split(".")[0] in forbidden
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_nothing_from_above(room):
    assert sources(room)
    assert crossing(room, FORBIDDEN[room]) == []


def test_the_engine_imports_nothing_of_the_dictionary_around_it():
    upwards = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("features/engine")
        for line, name in imports(path)
        if name.startswith("features.") and not name.startswith("features.engine")
    ]
    assert upwards == []


def test_one_file_names_transformer_lens():
    names = [
        str(path.relative_to(ROOT))
        for room in ("saeviz", "features", "prompts")
        for path in sources(room)
        for _, name in imports(path)
        if name.split(".")[0] == "transformer_lens"
    ]
    assert set(names) <= {"features/engine/model/language_model.py"}


def loaded_by(program):
    """The modules in memory after a program."""
    program += "; import sys; print(*sorted(sys.modules))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# admin.py comes with saeviz.urls
WEB = "saeviz.urls, features.views, features.tasks, features.storage.write, features.jobs.requests, prompts.views"


def test_the_web_side_and_the_tasks_load_no_torch():
    loaded = loaded_by(f"import django; django.setup(); import {WEB}")
    assert not loaded & {"torch", "transformer_lens", "transformers", "pandas", "scipy"}


def test_checks_and_the_wsgi_application_load_no_torch():
    loaded = loaded_by("import saeviz.wsgi; from django.core.management import call_command; call_command('check')")
    assert not loaded & {"torch", "transformer_lens"}


@pytest.mark.parametrize("module", ["results", "text", "quantiles", "corpus"])
def test_what_pages_use_of_the_engine_loads_no_torch(module):
    assert not loaded_by(f"import features.engine.{module}") & {"torch", "django"}


def test_the_engine_loads_no_django():
    modules = [f"features.engine.{path.stem}" for path in (ROOT / "features/engine").glob("*.py")]
    loaded = loaded_by("import " + ", ".join(name for name in modules if not name.endswith("__init__")))
    assert not loaded & {"django", "celery", "redis"}


def test_pages_bring_nothing_from_another_machine():
    files = [*(ROOT / "templates").rglob("*.*"), *(ROOT / "static").rglob("*.*")]
    texts = {path: path.read_text() for path in files if path.suffix in {".html", ".js", ".css", ".svg"}}
    assert texts
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path, text in texts.items()
        for match in LEAVES_THE_MACHINE.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/d3.js">',
        "@import '//fonts.example/a.css'",
        'import x from "https://esm.example/x"',
        "background: url(http://example/a.png)",
    ],
)
def test_the_search_for_other_machines_finds_them(text):
    assert LEAVES_THE_MACHINE.search(text)
    assert not LEAVES_THE_MACHINE.search('xmlns="http://www.w3.org/2000/svg" href="/static/a.css"')
