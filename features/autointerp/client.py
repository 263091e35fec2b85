"""How is a language model asked? One request at a time, of bounded time and size, which follows no redirect.

`http.client` and not `urllib`: it never goes where an answer leads, and the number of the machine is looked at once
connected, before anything is sent.
"""

import http.client
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .address import ENDPOINT, Address, refused_ip

MOST_BYTES = 256 << 10  # of an answer
LONGEST_SAID = 300  # characters of a server's own sentence that are told
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # statuses that may be others the next time
LETTERS_A_TOKEN = 4  # where nobody counts them


class CallFailed(Exception):
    """No answer of use. `again`: another try may have one, `after` so many seconds at least; `final`: no question of
    this job will."""

    def __init__(self, message: str, *, again: bool = False, after: float = 0.0, final: bool = False):
        super().__init__(message)
        self.again, self.after, self.final = again, after, final


@dataclass(frozen=True)
class Answer:
    """What it said, and the tokens of question and answer; `counted`: it said how many."""

    text: str
    tokens_in: int
    tokens_out: int
    counted: bool


class Client:
    """Asks one model at one address."""

    def __init__(self, address: Address, model: str, key: str, seconds: float):
        """`seconds`: that one answer may take, from the first byte sent to the last one read."""
        self.address, self.model, self.seconds = address, model, seconds
        self._key = key
        self._most_name, self._temperature = "max_tokens", True  # what newer models of OpenAI will not hear

    def ask(self, messages: list[dict], most_tokens: int) -> Answer:
        """`messages`: [{"role", "content"}]. Raises CallFailed."""
        status, headers, body = self._post(self._question(messages, most_tokens))
        if status == 400 and self._understands_less(body):
            raise CallFailed("It does not know a field that was sent, which is left out from now on.", again=True)
        if status != 200:
            raise self._refused(status, headers, body)
        return self._answer(messages, body)

    def _question(self, messages, most_tokens: int) -> bytes:
        asked = {"model": self.model, "messages": messages, self._most_name: most_tokens, "stream": False}
        if self._temperature:
            asked["temperature"] = 0
        return json.dumps(asked).encode()

    def _understands_less(self, body: bytes) -> bool:
        """Whether it refused a field that can be had otherwise; the next question is put so."""
        said = _said(body)
        if "max_tokens" in said and self._most_name == "max_tokens":
            self._most_name = "max_completion_tokens"
            return True
        if "temperature" in said and self._temperature:
            self._temperature = False
            return True
        return False

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        """(status, headers, at most MOST_BYTES of the body). Raises CallFailed."""
        timed_out = threading.Event()
        connection = self._connection()

        def stop():  # a timeout is of one read: a server that answers drop by drop would go on for ever
            timed_out.set()
            if connection.sock is not None:
                _shut(connection.sock)

        timer = threading.Timer(self.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            connection.connect()
            if why := refused_ip(connection.sock.getpeername()[0]):
                raise CallFailed(f"{self.address} is not asked: {why}.", final=True)
            connection.request("POST", self.address.path + ENDPOINT, body, self._headers())
            answer = connection.getresponse()
            content = answer.read(MOST_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, timed_out.is_set()) from error
        finally:
            timer.cancel()
            connection.close()
        if timed_out.is_set():
            raise self._unreachable(TimeoutError(), True)
        if len(content) > MOST_BYTES:
            raise CallFailed(f"It answered with more than {MOST_BYTES >> 10} KiB, which were not read.")
        return answer.status, answer.headers, content

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self.seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=self.seconds)

    def _headers(self) -> dict:
        plain = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "saeviz"}
        return plain | ({"Authorization": f"Bearer {self._key}"} if self._key else {})

    def _unreachable(self, error: Exception, timed_out: bool) -> CallFailed:
        if timed_out or isinstance(error, TimeoutError):
            return CallFailed(f"It did not answer within {self.seconds:g} s.", again=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return CallFailed(f"Its certificate is not trusted: {error.verify_message}.", final=True)
        if isinstance(error, http.client.HTTPException):
            return CallFailed(f"What it answered is no HTTP, or broke off ({type(error).__name__}).", again=True)
        return CallFailed(f"It cannot be reached: {error.strerror or error}.", again=True)

    def _refused(self, status: int, headers, body: bytes) -> CallFailed:
        if 300 <= status < 400:
            to = str(headers.get("Location", "elsewhere"))[:100]
            return CallFailed(f"It leads on to {to}; give that address, redirects are not followed.", final=True)
        said = _said(body)
        if self._key:
            said = said.replace(self._key, "…")
        why = f"It answered {status}{f': {said}' if said else ''}"
        if status in AGAIN:
            return CallFailed(why, again=True, after=_retry_after(headers))
        return CallFailed(why, final=status in (401, 402, 403, 404, 405))

    def _answer(self, messages, body: bytes) -> Answer:
        try:
            whole = json.loads(body)
            choice = whole["choices"][0]
            text = choice["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise CallFailed("What it answered is no answer to a chat: it has no choices[0].message.content.") from None
        if not isinstance(text, str) or not text.strip():
            cut = choice.get("finish_reason") == "length"
            raise CallFailed(f"It answered without any text{', its tokens used up by thinking' if cut else ''}.")
        usage = whole.get("usage") if isinstance(whole.get("usage"), dict) else {}
        told = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        if all(type(count) is int and 0 <= count < 1e9 for count in told):
            return Answer(text, *told, True)
        return Answer(text, tokens_of(messages), -(-len(text) // LETTERS_A_TOKEN), False)


def tokens_of(messages: list[dict]) -> int:
    """About how many a question has."""
    return -(-sum(len(message["content"]) for message in messages) // LETTERS_A_TOKEN)


def _shut(sock: socket.socket) -> None:
    """Whoever reads from it, through TLS or not, hears that it has ended."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _said(body: bytes) -> str:
    """The server's own sentence about what went wrong, on one line; "" where it says none."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = whole.get("error") if isinstance(whole, dict) else None
    said = error.get("message") if isinstance(error, dict) else error
    return " ".join(said.split())[:LONGEST_SAID] if isinstance(said, str) else ""


def _retry_after(headers) -> float:
    """Seconds, or a date; 0 where it says nothing that can be read."""
    text = str(headers.get("Retry-After", "")).strip()
    try:
        return max(0.0, float(text)) if text else 0.0
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
