"""A webhook hears of warnings, whatever its server does, and no worker waits for it."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from features.runs import warnings

pytestmark = pytest.mark.django_db


@pytest.fixture
def server():
    heard, stop = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            if self.path == "/slow":
                stop.wait(60)
            self.send_response(302 if self.path == "/redirect" else 500 if self.path == "/broken" else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", heard
        stop.set()
        made.shutdown()
        thread.join()


def test_it_hears_of_a_warning_once_and_holds_up_nobody(server, made_run, settings, monkeypatch, caplog):
    address, heard = server
    monkeypatch.setattr(warnings, "TIMEOUT", 30)
    bad = made_run().in_order()[2]
    bad.figures |= {"loss_reconstructed": 4.9}
    bad.save()
    settings.SAEVIZ_WEBHOOK = f"{address}/ok"
    warnings.tell(bad)
    sentence = "the loss with the SAE rose from 4.199 to 4.900 nats"
    assert heard == [("/ok", {"run": "made", "checkpoint": "3,000 tokens", "warnings": [sentence]})]
    for path, said in (("/redirect", "302"), ("/broken", "500"), ("/slow", "not answered within 0.3 s")):
        settings.SAEVIZ_WEBHOOK = address + path
        monkeypatch.setattr(warnings, "TIMEOUT", 0.3 if path == "/slow" else 30)
        began = time.monotonic()
        warnings.tell(bad)
        assert said in caplog.text and time.monotonic() - began < 30
    assert [path for path, _ in heard] == ["/ok", "/redirect", "/broken", "/slow"]  # and nothing elsewhere
    monkeypatch.setattr(warnings, "TIMEOUT", 30)
    for nowhere in ("http://127.0.0.1:1/", "no address"):
        settings.SAEVIZ_WEBHOOK = nowhere
        warnings.tell(bad)
        assert f"The webhook {nowhere} was not reached" in caplog.text
