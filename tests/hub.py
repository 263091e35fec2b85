"""A hub on this machine: files of a folder under the addresses of the real one, with its rules for who may read them.

Large files lie on another host, as on the real hub; what each host was asked, and with which token, is kept.
"""

import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Request:
    """One question as it came."""

    method: str
    path: str
    token: str | None  # the Authorization header


class Hub:
    def __init__(self, root, storage=False):
        self.root, self.breaks_after, self.busy = Path(root), None, 0  # bytes, once; how often it answers 503
        self.asked = []  # (path, range) of what was wanted whole: lists, and bytes of files
        self.requests, self.at_storage = [], []  # every Request at the hub; at the host where files lie
        self.gated, self.private = set(), set()  # repositories
        self.tokens, self.let_in = set(), set()  # that are known; that may read gated and private ones
        self.has_storage, self.storage = storage, None  # the address of that host

    @contextmanager
    def open(self):
        with _serve(type("Bound", (_Handler,), {"hub": self})) as address:
            if not self.has_storage:
                yield address
                return
            with _serve(type("Storage", (_Storage,), {"hub": self})) as self.storage:
                yield address

    @contextmanager
    def used(self, monkeypatch):
        """Open, and the hub that this process asks, without a token; whatever the machine's own settings are."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        with self.open() as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            yield self

    def content(self, path):
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    def content_at_storage(self, path):
        return self.content(path)


@contextmanager
def _serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def _answer(self, code, headers, content=b""):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _send(self, content, etag):
        """The bytes that are wanted, or as many as come before the connection breaks."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start, end = int(wanted[1]) if wanted else 0, None
        if start >= max(len(content), 1):
            return self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(content) - start)}
        if self.command == "GET":
            end, self.hub.breaks_after = self.hub.breaks_after, None
        self._answer(206 if start else 200, headers, content[start:end])


class _Handler(_Quiet):
    def do_GET(self):
        hub, token = self.hub, self.headers.get("Authorization")
        hub.requests.append(Request(self.command, self.path, token))
        if self.command == "GET" and not hub.storage:
            hub.asked.append((self.path, self.headers.get("Range")))
        elif self.path.startswith("/api/"):
            hub.asked.append((self.path, None))
        if hub.busy:
            hub.busy -= 1
            return self._answer(503, {})
        if refusal := self._refusal(token):
            code, header, said = refusal
            return self._answer(code, {header: said})
        if self.path.startswith("/api/"):
            return self._list(self._repository())
        path = self.path.replace("/resolve/main/", "/").strip("/")
        content = hub.content(path)
        if content is None:
            return self._answer(404, {"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(content).hexdigest()
        if hub.storage:
            linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": COMMIT}
            return self._answer(302, {"Location": f"{hub.storage}/{path}?Signature=signed"} | linked)
        self._send(content, etag)

    def _repository(self):
        path = self.path.partition("?")[0].partition("/resolve/")[0].strip("/")
        return path.removeprefix("api/").removeprefix("models/")

    def _refusal(self, token):
        """As the real one: status, and the header that says why. What must not be seen is not there."""
        hub, repository = self.hub, self._repository()
        if token and token.removeprefix("Bearer ") not in hub.tokens:
            return 401, "X-Error-Message", "Invalid credentials in Authorization header"
        let_in = token is not None and token.removeprefix("Bearer ") in hub.let_in
        if not (hub.root / repository).is_dir() or (repository in hub.private and not let_in):
            return 404 if token else 401, "X-Error-Code", "RepoNotFound"
        if repository in hub.gated and "/resolve/" in self.path and not let_in:
            return 403 if token else 401, "X-Error-Code", "GatedRepo"

    def _list(self, repository):
        root = self.hub.root / repository
        files = [f for f in sorted(root.rglob("*")) if f.is_file()]
        listed = [{"rfilename": str(f.relative_to(root)), "size": f.stat().st_size} for f in files]
        listing = {"id": repository, "siblings": listed, "cardData": {"license": "cc0-1.0"}, "tags": []}
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())


class _Storage(_Quiet):
    def do_GET(self):
        self.hub.at_storage.append(Request(self.command, self.path, self.headers.get("Authorization")))
        self.hub.asked.append((self.path, self.headers.get("Range")))
        self._send(self.hub.content_at_storage(self.path.strip("/").partition("?")[0]), "of the storage")
