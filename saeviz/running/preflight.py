"""What can stand in the way of a start, found before anything is started and said in one line."""

import fcntl
import socket
from pathlib import Path

from saeviz import env

from . import paths


class PreflightError(Exception):
    """What stands in the way, and the way out."""


def check_settings():
    """Look at all settings in the environment before anybody reads them."""
    try:
        env.check()
    except env.InvalidSetting as error:
        raise PreflightError(str(error)) from error


def make_writable(folder: Path):
    """Make the data folder and be sure that it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
        paths.close_to_others(folder, everything=True)
    except OSError as error:
        raise PreflightError(
            f"Cannot write to {folder} ({error.strerror}). Choose another: make run DATA_DIR=~/saeviz-data"
        ) from error


def lock(folder: Path):
    """Keep a second start away from the same data, for as long as the returned file is open."""
    file = (folder / "running.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        raise PreflightError(
            f"saeviz already runs on {folder}: {file.read().strip() or 'just starting'}. "
            "Stop it, or give this one its own: make run DATA_DIR=~/other-data PORT=8001"
        ) from error
    return file


def sign(file, text: str):
    """Say in the lock file who holds it."""
    file.truncate(0)
    file.write(text)
    file.flush()


def port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise PreflightError(f"PORT={text} is not a port number: choose one from 1 to 65535.")
    return int(text)


def listen(host: str, port: int) -> socket.socket:
    """The site's socket, opened here so that browsers wait for the site instead of being refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PreflightError(f"HOST={host} is not an address of this machine ({error.strerror}).") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PreflightError(
            f"Cannot use {host}:{port} ({error.strerror}). Choose another: make run PORT={port % 65535 + 1}"
        ) from error
    return listener
