"""A hub on this machine: files of a folder under the addresses of the real one, and a list of what was asked."""

import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager
from pathlib import Path


class Hub:
    def __init__(self, root):
        self.root, self.asked, self.breaks_after = Path(root), [], None  # bytes, once

    @contextmanager
    def open(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.hub.asked.append((self.path, self.headers.get("Range")))
        if self.path.startswith("/api/"):
            return self._list(self.path.partition("?")[0].removeprefix("/api/").removeprefix("models/"))
        repository, _, name = self.path.strip("/").partition("/resolve/main/")
        file = self.hub.root / repository / name
        if not file.is_file():
            return self.send_error(404)
        self._send(file.read_bytes())

    def _list(self, repository):
        root = self.hub.root / repository
        if not root.is_dir():
            return self.send_error(404)
        files = [f for f in sorted(root.rglob("*")) if f.is_file()]
        listed = [{"rfilename": str(f.relative_to(root)), "size": f.stat().st_size} for f in files]
        self._send(json.dumps({"siblings": listed, "cardData": {"license": "cc0-1.0"}}).encode())

    def _send(self, content):
        etag = hashlib.sha256(content).hexdigest()
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted and self.headers.get("If-Range") == f'"{etag}"' else 0
        self.send_response(206 if start else 200)
        for header in ("ETag", "X-Linked-Etag"):
            self.send_header(header, f'"{etag}"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end, self.hub.breaks_after = self.hub.breaks_after, None
        self.wfile.write(content[start:end])
