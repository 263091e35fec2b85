"""The process that opens files of others: it takes one question after another from its parent, and answers.

    python -m features.engine.confined.child QUESTIONS LIFELINE    (numbers of inherited files)

It knows no bounds; its parent watches it (process.py) and ends it. A parent that is gone closes the lifeline, which
the system answers with a signal, whatever library is at work here.
"""

import fcntl
import os
import signal
import sys
import traceback
from importlib import import_module
from inspect import signature
from multiprocessing.connection import Connection

WORD, ANSWER, ERROR = range(3)  # kinds of what is sent back


def _end_with_the_parent(lifeline: int) -> None:
    """SIGIO, which ends a process that does not handle it, where the other end of a pipe is closed."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _speak_to_nobody() -> None:
    """What libraries print belongs to nobody here: the parent says in a sentence what came of it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def _packed(error: BaseException) -> tuple:
    """(class, arguments, attributes, traceback): an exception whose class takes other arguments than it keeps cannot
    be pickled as it is."""
    trace = "".join(traceback.format_exception(error))
    return type(error), error.args, dict(vars(error)), trace[-4000:]


def unpacked(packed: tuple) -> BaseException:
    """The exception again, with the child's traceback as a note."""
    kind, arguments, attributes, trace = packed
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(attributes)
    error.add_note(trace)
    return error


def _named(name: str):
    """ "package.module:function", of a module that the parent itself does not load."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def answer(questions: Connection, function, arguments: tuple) -> None:
    try:
        function = _named(function) if isinstance(function, str) else function
        telling = {"say": lambda word: questions.send((WORD, word))} if "say" in signature(function).parameters else {}
        reply = ANSWER, function(*arguments, **telling)
    except BaseException as error:  # a panic of Rust is no Exception
        reply = ERROR, _packed(error)
    try:
        questions.send(reply)
    except (TypeError, AttributeError, ValueError) as error:  # what cannot be sent
        told = f"{reply[1][0].__name__}: {reply[1][1]}" if reply[0] == ERROR else str(error)
        questions.send((ERROR, (RuntimeError, (told,), {}, "")))


def main(questions: int, lifeline: int) -> None:
    _end_with_the_parent(lifeline)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C: the parent decides
    _speak_to_nobody()
    with Connection(questions) as connection:
        connection.send((WORD, "ready"))
        while True:
            try:
                function, arguments = connection.recv()
            except EOFError:
                return
            answer(connection, function, arguments)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
