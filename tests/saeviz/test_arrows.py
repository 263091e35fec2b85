"""Imports point one way, from the roof of the house to its cellar; nothing loads before its time."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The house from the roof down to the cellar. A place may import what stands on a lower line, and itself.
LEVELS = [
    "saeviz",
    "prompts",
    "features/apps.py features/management",
    "features/urls.py features/admin.py features/checks.py features/tasks.py",
    "features/gelu1l",
    "features/ask features/runs features/grading features/overview features/autointerp",
    "features/browse features/importing features/demo",
    "features/judge",
    "features/jobs",
    "features/runtime.py features/patterns features/analysis features/strangers.py",
    "features/storage",
    "features/models features/messages.py features/turns.py features/callers.py features/templatetags",
    "features/engine/calibration.py features/engine/claims features/engine/descriptions",
    "features/engine/analysis",
    "features/engine/self_check.py features/engine/prompt.py features/engine/ask features/engine/training",
    "features/engine/other_readings.py features/engine/variance.py",
    "features/engine/collect",
    "features/engine/activity",
    "features/engine/weights",
    "features/engine/encoder features/engine/store features/engine/corpus features/engine/subject.py",
    "features/engine/model",
    "features/engine/text",
    "features/engine/sae/checkpoint.py",
    "features/engine/sae/layouts features/engine/sae/description.py",
    "features/engine/sae/reading features/engine/sae/bars.py",
    "features/engine/sae/sae.py",
    "features/engine/kernels",
    "features/engine/kernels/numba features/engine/kernels/triton",
    "features/engine/results.py features/engine/bins.py features/engine/reference.py features/engine/files.py "
    "features/engine/prefixes.py features/engine/reference_questions.py features/engine/reference_examples.py "
    "features/engine/reference_analysis.py",
    "features/engine/model/hook_points.py",
    "features/engine/model/config.py features/engine/confined",
    "features/engine/foreign_files.py",
]
FLOOR = {place: floor for floor, places in enumerate(LEVELS) for place in places.split()}
ROOMS = ("saeviz", "prompts", "features")
WEB = {"django", "celery", "redis", "kombu"}
MOST_MODULES = 15  # in one folder; migrations do not count
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
    return _imports(path, ROOT)


@cache
def _imports(path, root):
    return tuple(_imported(path, root))


def _imported(path, root):
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)


def place_of(path):
    """Where a file or folder stands: the longest listed path that it is, or lies in. None: nowhere."""
    parts = Path(path).parts
    names = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in FLOOR), None)


def place_of_module(name):
    """Where the file of a module, or of the module that a name is taken from, stands. None: not one of the house."""
    while name:
        path = name.replace(".", "/")
        if (ROOT / f"{path}.py").exists():
            return place_of(f"{path}.py")
        if (ROOT / path / "__init__.py").exists():
            return place_of(path)
        name = name.rpartition(".")[0]
    return None


def upwards(paths):
    """The imports that do not point downwards."""
    for path in paths:
        here = place_of(path.relative_to(ROOT))
        for line, name in imports(path):
            there = place_of_module(name) if name.split(".")[0] in ROOMS else None
            if there and there != here and FLOOR[there] <= FLOOR[here]:
                yield f"{path.relative_to(ROOT)}:{line} imports {name}"


def every_source():
    return [path for room in ROOMS for path in sources(room)]


def test_every_file_stands_in_a_room():
    packages = {"features/__init__.py", "features/engine/__init__.py", "features/engine/sae/__init__.py"}
    names = {str(path.relative_to(ROOT)) for path in every_source()} - packages
    assert [name for name in names if place_of(name) is None] == []
    assert [place for place in FLOOR if not (ROOT / place).exists()] == []


def test_arrows_point_downwards():
    assert list(upwards(every_source())) == []


def test_an_arrow_that_points_upwards_is_found(tmp_path, monkeypatch):
    for name, line in (("features/jobs/a.py", "from ..importing import b"), ("features/importing/b.py", "")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(line)
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    assert list(upwards(sources("features"))) == ["features/jobs/a.py:1 imports features.importing.b"]


def test_the_engine_knows_nothing_of_the_web():
    names = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("features/engine")
        for line, name in imports(path)
        if name.split(".")[0] in WEB
    ]
    assert names == []


def test_no_folder_is_crowded():
    modules = [path.parent for path in every_source() if path.name != "__init__.py"]
    assert {str(folder): n for folder, n in Counter(modules).items() if n > MOST_MODULES} == {}


def class_places():
    """Public classes that stand by themselves -> the files they stand in; reference.py says again what others do."""
    places = {}
    for path in (path for room in ROOMS for path in sources(room)):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and path.name != "reference.py":
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    return places


def test_no_class_has_the_name_of_another():
    twice = {name: found for name, found in class_places().items() if len(found) > 1}
    twice.pop("Command")  # Django's, one a command
    assert not twice, "one word for one thing: see the words in docs/architecture.md"


def test_one_file_names_transformer_lens():
    names = [
        str(path.relative_to(ROOT))
        for room in ("saeviz", "features", "prompts")
        for path in sources(room)
        for _, name in imports(path)
        if name.split(".")[0] == "transformer_lens"
    ]
    assert set(names) <= {"features/engine/model/boot.py"}


def loaded_by(program):
    """The modules in memory after a program."""
    program += "; import sys; print(*sorted(sys.modules))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "saeviz.settings"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# admin.py comes with saeviz.urls
WEB_SIDE = (
    "saeviz.urls, features.browse.views, features.tasks, features.storage.write, features.jobs.requests, prompts.views"
)


def test_the_web_side_and_the_tasks_load_no_torch():
    loaded = loaded_by(f"import django; django.setup(); import {WEB_SIDE}")
    assert not loaded & {
        "torch",
        "transformer_lens",
        "transformers",
        "huggingface_hub",
        "pandas",
        "scipy",
        "numba",
        "pyarrow",
    }


def test_checks_and_the_wsgi_application_load_no_torch():
    loaded = loaded_by("import saeviz.wsgi; from django.core.management import call_command; call_command('check')")
    assert not loaded & {"torch", "transformer_lens"}


def test_what_pages_use_of_the_engine_loads_no_torch():
    modules = ("results", "model.vocabulary", "activity.quantiles", "corpus.token_rows")
    loaded = loaded_by("import " + ", ".join(f"features.engine.{module}" for module in modules))
    assert not loaded & {"torch", "django"}


def test_the_engine_loads_no_django():
    paths = [path.relative_to(ROOT) for path in sources("features/engine") if path.name != "__init__.py"]
    modules = [".".join(path.with_suffix("").parts) for path in paths if "triton" not in path.parts]
    loaded = loaded_by("import " + ", ".join(modules))
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
