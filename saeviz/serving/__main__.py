"""Serves the site: `python -m saeviz.serving --host 127.0.0.1 --port 8000`, or on a socket that it inherits."""

import argparse
import os
import socket
import sys

from .. import env
from . import static_files
from .server import THREADS, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m saeviz.serving", description="Serve the site, in one process.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket that is inherited, in place of host and port")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--access-log", action="store_true")
    given = parser.parse_args()
    try:
        env.check()
    except env.InvalidSetting as wrong:
        sys.exit(str(wrong))
    sockets = None if given.fd is None else [socket.socket(fileno=given.fd)]
    if made := static_files.folder():
        os.environ["SAEVIZ_STATIC_ROOT"] = str(made)  # before the settings are read
    from features.engine.model.confined_vocabulary import tokenizers

    tokenizers.begin()  # the child that every page with tokens needs: it starts beside the site
    from ..wsgi import application

    options = {"host": given.host, "port": given.port, "access_log": given.access_log}
    server(application, given.threads, **options).run(sockets=sockets)


if __name__ == "__main__":
    main()
