"""`python -m saeviz.running`: the whole site with one command, ended by Ctrl-C."""

import http.client
import os
import sys
import threading
import time

from .. import env
from . import embedded_redis, hosts, paths, preflight, prepared, processes
from .child import say
from .supervise import Supervisor


def main():
    started = time.monotonic()
    data = paths.data_dir()
    host = os.environ.get("HOST") or "127.0.0.1"
    try:
        preflight.check_settings()
        port = preflight.port_number(os.environ.get("PORT") or "8000")
        preflight.make_writable(data)
        lock = preflight.lock(data)
        redis = None if os.environ.get("REDIS_URL") else embedded_redis.program(data)
        listener = preflight.listen(host, port)
    except preflight.PreflightError as error:
        sys.exit(str(error))
    address = hosts.address(host, port)
    preflight.sign(lock, f"process {os.getpid()}, {address}")
    supervisor = Supervisor()
    try:
        sys.exit(run(supervisor, data, redis, listener, address, started, hosts.remark(host)))
    finally:
        supervisor.end()


def run(supervisor, data, redis, listener, address, started, remark) -> int:
    """The order of a start; the exit code."""
    if redis:
        supervisor.start(redis)
    ready = prepared.is_prepared(data)
    if not ready:
        say(f"Preparing {data} ...")
        if not supervisor.finish(processes.preparation("database")):
            return end_code(supervisor)
    supervisor.start(processes.site(listener))
    answered = threading.Event()
    threading.Thread(target=ask_once, args=(*listener.getsockname()[:2], answered), daemon=True).start()
    listener.close()  # the site alone holds it now: when it is gone, browsers are refused
    if supervisor.wait(answered.is_set):
        say(f"saeviz is at {address}{env.prefix()}  ({time.monotonic() - started:.1f} s; Ctrl-C ends it)")
        for more in filter(None, (hosts.in_a_hub(), remark)):
            say(more)
        supervisor.start(processes.worker())  # only now: the first page needs the processor more
        if os.environ.get("SAE"):
            supervisor.start(processes.preparation("sae", ADDRESS=address))  # and then the demo, if it is due
        elif os.environ.get("RUN"):
            supervisor.start(processes.preparation("run", ADDRESS=address))  # likewise
        elif not ready:
            supervisor.start(processes.preparation("demo"))
        supervisor.wait(lambda: False)
    return end_code(supervisor)


def ask_once(host: str, port: int, answered: threading.Event):
    """The first page, asked for by ourselves: what it loads is loaded for the first reader."""
    connection = http.client.HTTPConnection(hosts.EVERYWHERE.get(host, host), port, timeout=300)
    try:
        connection.request("GET", f"{env.prefix()}/")
        connection.getresponse().read()
        answered.set()
    except OSError:
        pass  # the site has ended; the supervisor says so
    finally:
        connection.close()


def end_code(supervisor: Supervisor) -> int:
    """Ending because somebody asked is no error."""
    return 0 if supervisor.asked_to_end else 1


if __name__ == "__main__":
    main()
