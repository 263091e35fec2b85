"""A site of its own, started as `make run` does, and what an attacker and a watcher need of it: requests, processes,
memory."""

import http.client
import re
import threading
import time
from collections import Counter
from contextlib import suppress
from http.cookies import SimpleCookie
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

from tests.saeviz.processes import Started, environ, free_port, read, within

SLUG = "gelu-1l-mini"
PAGES = [f"/saes/{SLUG}/features/{number}/" for number in range(0, 4000, 19)]
KINDS = {  # of processes, by a word of their command
    "site": "saeviz.serving",
    "child": "features.engine.confined.child",
    "worker": "celery",
    "redis": "redis-server",
    "supervisor": "saeviz.running",
}
NO_ANSWER = 0  # as a status
SETTINGS = {"SAEVIZ_NICE": "5", "SAEVIZ_RUN_TOKENS": "1000", "HF_HUB_OFFLINE": "1", "SAEVIZ_WARM": "1"}


class Site:
    """Ends with the block."""

    def __init__(self, folder: Path, tokens: int):
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = SETTINGS | {
            "DATA_DIR": str(self.data), "PORT": str(self.port), "SAEVIZ_TOKENS": str(tokens),
            "SAEVIZ_FOLDERS": str(folder / "hostile"),
        }  # fmt: skip

    def __enter__(self):
        self._started = Started(self.folder / "output", "-m", "saeviz.running", **self.settings)
        self._watch = MemoryWatch(self)
        if not within(120, lambda: "saeviz is at" in self.says()):
            self.__exit__()
            raise SystemExit(f"The site did not start:\n{self.says()}")
        return self

    def __exit__(self, *_):
        self._watch.stop()
        self._started.process.terminate()
        with suppress(Exception):
            self._started.process.wait(10)
        self._started.end()

    def says(self) -> str:
        return self._started.says()

    def ask(self, path, method="GET", body=None, seconds=90.0, source="", **headers) -> tuple[int, bytes, float, dict]:
        """(status, body, seconds, headers) of one request, from an address of its; NO_ANSWER where none came."""
        began = time.monotonic()
        given = {"source_address": (source, 0)} if source else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds, **given)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            told = answer.read(), dict(answer.headers)
            return answer.status, told[0], time.monotonic() - began, told[1]
        except (OSError, http.client.HTTPException) as error:
            return NO_ANSWER, str(error).encode(), time.monotonic() - began, {}
        finally:
            connection.close()

    def processes(self, kind: str) -> list[int]:
        return [pid for pid in self._started.alive(KINDS[kind]) if self.kind_of(pid) == kind]

    def children_of(self, kind: str) -> list[int]:
        parents = {str(pid).encode() for pid in self.processes(kind)}
        return [pid for pid in self.processes("child") if read(pid, "stat").rsplit(b")")[-1].split()[1] in parents]

    @staticmethod
    def kind_of(pid: int) -> str:
        command = read(pid, "cmdline").decode(errors="replace")
        return next((kind for kind, word in KINDS.items() if word in command), "other")

    def memory(self) -> Counter:
        """Resident bytes by kind of process; children with whose they are."""
        found, kinds = Counter(), {}
        pids = self._started.alive()
        for pid in pids:
            kinds[pid] = self.kind_of(pid)
        for pid, kind in kinds.items():
            resident = re.search(rb"VmRSS:\s+(\d+) kB", read(pid, "status"))
            parent = read(pid, "stat").rsplit(b")")[-1].split()[1:2]
            of = kinds.get(int(parent[0]), "") if parent else ""
            name = f"{of or 'other'}'s child" if kind == "child" else kind
            found[name] += int(resident[1]) << 10 if resident else 0
        return found

    def peak(self) -> Counter:
        """Of memory since it was last asked for."""
        return self._watch.peak()

    def is_mine(self, pid: int) -> bool:
        return self._started.began(pid) and bool(environ(pid))


class MemoryWatch:
    """The most memory of each kind of process, looked at a few times a second."""

    def __init__(self, site: Site):
        self.site, self._peak, self._end = site, Counter(), threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        while not self._end.wait(0.3):
            self._peak |= self.site.memory()

    def peak(self) -> Counter:
        found, self._peak = self._peak | self.site.memory(), Counter()
        return found

    def stop(self):
        self._end.set()


class Readers:
    """Who reads feature pages all the while: statuses, and milliseconds that each page took."""

    def __init__(self, site: Site, count: int = 2, pause: float = 0.05):
        self.site, self.pause = site, pause
        self.milliseconds, self.statuses, self._end = [], Counter(), threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(n,), daemon=True) for n in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join(100)

    def _read(self, number: int):
        while not self._end.is_set():
            number += 7
            status, _, seconds, _ = self.site.ask(PAGES[number % len(PAGES)])
            self.milliseconds.append(1000 * seconds)
            self.statuses[status] += 1
            time.sleep(self.pause)

    def __str__(self):
        if len(self.milliseconds) < 2:
            return f"feature pages: {len(self.milliseconds)} read"
        p95 = quantiles(self.milliseconds, n=20)[-1]
        others = {status: count for status, count in self.statuses.items() if status != 200}
        told = f"feature pages {median(self.milliseconds):.0f} ms median, {p95:.0f} p95 ({len(self.milliseconds)})"
        return told + (f", OTHER THAN 200: {others}" if others else "")


class Staff:
    """The administrator in a browser."""

    def __init__(self, site: Site):
        self.site, self.cookies = site, SimpleCookie()
        _, page = self._ask("/admin/login/")
        password = (site.data / "admin_password").read_text().strip()
        status, _ = self.post("/admin/login/?next=/admin/", page, username="admin", password=password)
        assert status == 302, status

    def get(self, path) -> tuple[int, str]:
        return self._ask(path)

    def post(self, path, page: str, **fields) -> tuple[int, str]:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        fields |= {"csrfmiddlewaretoken": token[1] if token else ""}
        return self._ask(path, "POST", urlencode(fields))

    def _ask(self, path, method="GET", body=None) -> tuple[int, str]:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=300)
        connection.request(method, path, body, kind | {"Cookie": cookies, "Accept": "text/html"})
        answer = connection.getresponse()
        for header in answer.headers.get_all("Set-Cookie") or ():
            self.cookies.load(header)
        told = answer.status, answer.read().decode(errors="replace")
        connection.close()
        return told
