"""Which address may be asked for labels, and with which key? One of the site's settings, or one that staff enter."""

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from ..messages import BadRequest

LONGEST = 500
KEY = "SAEVIZ_LLM_KEY"
FORM = "Give it as http://127.0.0.1:11434/v1: http or https, a host, a port where it has one, a path."
ENDPOINT = "/chat/completions"


@dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server, up to /chat/completions."""

    scheme: str
    host: str  # as a name or a number, without brackets
    port: int
    path: str  # without / at its end

    def __str__(self) -> str:
        usual = {"http": 80, "https": 443}[self.scheme]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{'' if self.port == usual else f':{self.port}'}{self.path}"


def read(text: str) -> Address:
    """Without a path it is /v1, where such servers answer. Raises BadRequest."""
    text = text.strip()
    if not text:
        raise BadRequest(f"No address of a language model is given. {FORM}")
    if len(text) > LONGEST or not text.isascii() or any(letter.isspace() or letter < " " for letter in text):
        raise BadRequest(f"{text[:60]!r} is no address of a language model. {FORM}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as problem:
        raise BadRequest(f"{text[:60]!r} is no address of a language model: {problem}. {FORM}") from None
    if why := _wrong(parts):
        raise BadRequest(f"{text[:60]!r} is no address of a language model: {why}. {FORM}")
    path = parts.path.rstrip("/").removesuffix(ENDPOINT) or "/v1"
    return Address(parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], path)


def _wrong(parts: SplitResult) -> str:
    if parts.scheme not in ("http", "https"):
        return f"it begins with {parts.scheme or 'nothing'}"
    if not parts.hostname:
        return "it names no host"
    if "@" in parts.netloc:
        return "it holds a user or a password, which would be stored and shown; a key goes into the environment"
    if parts.query or parts.fragment:
        return "something stands behind ? or #"
    return ""


def of_site() -> Address | None:
    """That of the settings. Raises BadRequest where it is none."""
    return read(settings.SAEVIZ_LLM) if settings.SAEVIZ_LLM else None


def allowed(text: str) -> Address:
    """One that may be asked: the site's, or one of the hosts that the settings name, which name none: any. Raises
    BadRequest."""
    address = read(text)
    hosts = settings.SAEVIZ_LLM_HOSTS
    if not hosts or address == of_site() or address.host in hosts or f"{address.host}:{address.port}" in hosts:
        return address
    raise BadRequest(
        f"The host {address.host} is none of those that this site may ask for labels: {', '.join(hosts)}. Whoever runs "
        "the site can name it in SAEVIZ_LLM_HOSTS."
    )


def key_variable(address: Address) -> str:
    """The environment variable whose key goes along: the site's to the site's own address alone, else none."""
    own = of_site()
    is_own = own and (own.scheme, own.host, own.port) == (address.scheme, address.host, address.port)
    return KEY if is_own and os.environ.get(KEY, "").strip() else ""


def key(variable: str) -> str:
    """What stands there where this runs. Raises BadRequest where nothing does."""
    if not variable:
        return ""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise BadRequest(
            f"The key of the language model is to be in the environment variable {variable}, which is not set where "
            "this work runs. Set it for the workers, too."
        )
    if not found.isascii() or not found.isprintable():
        raise BadRequest(f"What stands in {variable} is no key: it has letters that no header carries.")
    return found


def refused_ip(ip: str) -> str:
    """Why a machine of this number is not asked; "" where it may be. Clouds tell secrets at link-local numbers."""
    number = ipaddress.ip_address(ip.split("%")[0])
    number = getattr(number, "ipv4_mapped", None) or number
    if number.is_link_local or number.is_multicast or number.is_unspecified:
        return f"its host is {number}, a number at which no language model answers"
    return ""
