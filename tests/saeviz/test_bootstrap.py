"""From a bare Python to the environment: installed once, again after a change, refused in one line."""

import importlib.util
import sys

import pytest

from saeviz.running import bootstrap


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout, and the commands that were run in it instead of really run."""
    commands = []

    def pretend(command):
        commands.append(" ".join(command[2:4]) if "--clear" in command else command[2])
        bootstrap.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        bootstrap.PYTHON.touch()
        if command[2] == "venv":
            made = f"version = {sys.version.split()[0]}\ncommand = {' '.join(command)}\n"
            (bootstrap.ENVIRONMENT / "pyvenv.cfg").write_text(made)

    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(bootstrap, "run_quietly", pretend)
    (tmp_path / "requirements.txt").write_text("one==1\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\ntwo==2\n")
    return tmp_path, commands


def test_the_second_start_installs_nothing(checkout):
    _, commands = checkout
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip"]
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip"]


def test_changed_requirements_are_installed_also_where_they_are_included(checkout):
    folder, commands = checkout
    bootstrap.install("requirements-dev.txt")
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip"]
    (folder / "requirements.txt").write_text("one==1.1\n")
    bootstrap.install("requirements-dev.txt")
    assert commands == ["venv --clear", "pip", "pip"]


def test_an_interrupted_installation_is_made_again(checkout, monkeypatch):
    _, commands = checkout
    pretend = bootstrap.run_quietly

    def interrupted(command):
        pretend(command)
        if command[2] == "pip":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bootstrap, "run_quietly", interrupted)
        bootstrap.install("requirements.txt")
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip", "venv", "pip"]


@pytest.mark.parametrize("is_it", ["moved", "another Python", "half gone"])
def test_an_environment_of_another_folder_or_python_is_made_anew(checkout, monkeypatch, is_it):
    folder, commands = checkout
    bootstrap.install("requirements.txt")
    if is_it == "moved":
        (folder / ".venv").rename(folder / "moved")
        monkeypatch.setattr(bootstrap, "ENVIRONMENT", folder / "moved")
        monkeypatch.setattr(bootstrap, "PYTHON", folder / "moved" / "bin" / "python")
    elif is_it == "another Python":
        monkeypatch.setattr(sys, "version_info", (3, 99, 1))
        monkeypatch.setattr(sys, "version", "3.99.1 (main)")
    else:
        (folder / ".venv/pyvenv.cfg").unlink()
        (folder / ".venv/installed-requirements.txt").unlink()
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip"] * 2
    bootstrap.install("requirements.txt")
    assert commands == ["venv --clear", "pip"] * 2


def test_an_old_python_is_told_which_one_is_needed(monkeypatch):
    monkeypatch.setattr(bootstrap, "OLDEST", (99, 0))
    with pytest.raises(SystemExit, match=r"^saeviz needs Python 99.0 or newer; this is 3[\d.]+\. .*PYTHON="):
        bootstrap.main("requirements.txt")


def test_a_python_without_venv_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(SystemExit, match="^This Python has no venv module.*python3-venv$"):
        bootstrap.main("requirements.txt")


def test_a_failed_installation_shows_what_pip_said():
    with pytest.raises(bootstrap.EnvironmentMissing, match="no matching distribution(.|\n)*This failed: /bin/sh"):
        bootstrap.run_quietly(["/bin/sh", "-c", "echo no matching distribution; exit 1"])
