"""What may the environment set, and does what it says fit? The README lists what each means."""

import os
import re
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
DEFAULTS = {
    "SAEVIZ_TOKENS": 500_000,
    "SAEVIZ_QUICK_TOKENS": 32_768,
    "SAEVIZ_RUN_TOKENS": 100_000,
    "SAEVIZ_PROMPT_TOKENS": 1024,
    "SAEVIZ_PROMPT_BYTES": 20_000,
    "SAEVIZ_LOADED_SUBJECTS": 2,
    "SAEVIZ_MAX_BYTES": min(MEMORY, 64 << 30),
    "SAEVIZ_MAX_UPLOAD": 4 << 30,
    "SAEVIZ_FILE_MEMORY": 2 << 30,
    "SAEVIZ_FILE_SECONDS": 120,
    "SAEVIZ_KEPT_BYTES": 4 << 30,
    "SAEVIZ_RUN_KEPT": 2 << 30,
    "SAEVIZ_SILENT_AFTER": 20,
    "SAEVIZ_ATTEMPTS": 3,
    "SAEVIZ_NICE": 0,
    "SAEVIZ_MEMORY": 0,
    "SAEVIZ_PROMPT_RATE": 120,
    "SAEVIZ_ASK_RATE": 60,
    "SAEVIZ_CONNECTIONS": 100,
    "SAEVIZ_LLM_SECONDS": 120,
    "WORKERS": 1,
}
MAY_BE_0 = {
    "SAEVIZ_NICE",
    "SAEVIZ_MEMORY",
    "SAEVIZ_MAX_UPLOAD",
    "SAEVIZ_KEPT_BYTES",
    "SAEVIZ_RUN_KEPT",
    "SAEVIZ_PROMPT_RATE",
    "SAEVIZ_ASK_RATE",
    "SAEVIZ_CONNECTIONS",
}
SHARES = {"SAEVIZ_COMMON_DIRECTION": 0.2}  # from 0 to 1
CHOICES = {  # the first is the default
    "SAEVIZ_SHARE": ("folder", "database"),
    "SAEVIZ_SCREEN": ("auto", "int8", "bfloat16", "on", "off"),
    "SAEVIZ_PROMPTS": ("everyone", "users"),
    "SAEVIZ_LABELS": ("auto", "everyone", "users"),
    "SAEVIZ_LOG_LEVEL": ("WARNING", "DEBUG", "INFO", "ERROR"),
    "SAEVIZ_LOG_FORMAT": ("text", "json"),
}
SWITCHES = {"SAEVIZ_BEHIND_TLS", "SAEVIZ_WARM", "DEBUG", "VERBOSE"}
ORIGINS = {"CSRF_TRUSTED_ORIGINS"}
ORIGIN = re.compile(r"https?://(\*\.)?[\w.-]+(:\d+)?|https?://\[[0-9a-fA-F:.]+\](:\d+)?")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
HOST = re.compile(r"\*|\.?[\w.-]+|\[[0-9a-fA-F:.]+\]")
REDIS = ("redis", "rediss", "redis+socket")
PREFIX = re.compile(r"(/[\w.~@-]+)*")
OWN_ADDRESSES = {"saes", "admin", "static", "health", "metrics"}
OTHERS = {  # read elsewhere; here so that a name that nobody reads is noticed
    "SAEVIZ_DEVICE",
    "SAEVIZ_FOLDERS",
    "SAEVIZ_SHARDS",
    "SAEVIZ_KEPT",
    "SAEVIZ_METRICS_TOKEN",
    "SAEVIZ_WEBHOOK",
    "SAEVIZ_LLM",
    "SAEVIZ_LLM_MODEL",
    "SAEVIZ_LLM_KEY",
    "SAEVIZ_LLM_HOSTS",
    "SAEVIZ_PREFIX",
}


class InvalidSetting(ValueError):
    """A variable holds what does not fit; the message names both and what would."""


def check() -> None:
    """Read all of them. Raises InvalidSetting with a line for each that does not fit."""
    wrong = problems()
    if wrong:
        raise InvalidSetting("\n".join(wrong))


def problems() -> list[str]:
    readers = [(number, DEFAULTS), (share, SHARES), (choice, CHOICES), (switch, SWITCHES), (origins, ORIGINS)]
    looks = [(reader, name) for reader, names in readers for name in names]
    looks += [(prefix, "SAEVIZ_PREFIX"), (_device, "SAEVIZ_DEVICE"), (_zone, "TZ_NAME"), (_database, "DATABASE_URL")]
    looks += [(_hosts, "ALLOWED_HOSTS"), (_redis, "REDIS_URL"), (_webhook, "SAEVIZ_WEBHOOK")]
    found = []
    for reader, name in looks:
        try:
            reader(name)
        except InvalidSetting as error:
            found.append(str(error))
    return found


def unknown() -> list[str]:
    """Variables that look like ours and are read by nobody: misspelt, or of another version."""
    known = {*DEFAULTS, *SHARES, *CHOICES, *SWITCHES, *OTHERS}
    return sorted(name for name in os.environ if name.startswith("SAEVIZ_") and name not in known)


def _said(name: str) -> str:
    return os.environ.get(name, "").strip()


def number(name: str) -> int:
    """The variable's number, its default where it is unset or empty. Raises InvalidSetting."""
    text, default, least = _said(name), DEFAULTS[name], 0 if name in MAY_BE_0 else 1
    try:
        value = int(text or default)
    except ValueError:
        value = least - 1
    if value < least:
        fits = f"Give a whole number from {least} on, in digits; left out, it is {default}."
        raise InvalidSetting(f"{name}={text} does not fit. {fits}")
    return value


def share(name: str) -> float:
    """The variable's number between 0 and 1, its default where it is unset or empty. Raises InvalidSetting."""
    text, default = _said(name), SHARES[name]
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidSetting(f"{name}={text} does not fit. Give a number from 0 to 1; left out, it is {default}.")
    return value


def choice(name: str) -> str:
    """One of the words that fit, the first where it is unset or empty. Raises InvalidSetting."""
    text, fits = _said(name), CHOICES[name]
    same = [word for word in fits if word.lower() == text.lower()]
    if text and not same:
        raise InvalidSetting(f"{name}={text} does not fit. Say {', '.join(fits)}; left out, it is {fits[0]}.")
    return same[0] if text else fits[0]


def switch(name: str) -> bool:
    """1 is on; 0, empty and unset are off. Raises InvalidSetting."""
    text = _said(name)
    if text not in ("", "0", "1"):
        raise InvalidSetting(f"{name}={text} does not fit. Say 1 for on, 0 for off; left out, it is off.")
    return text == "1"


def origins(name: str) -> list[str]:
    """Scheme and host of each, separated by commas; blanks and a last / do no harm. Raises InvalidSetting."""
    found = [part.strip().rstrip("/") for part in _said(name).split(",") if part.strip()]
    wrong = next((origin for origin in found if not ORIGIN.fullmatch(origin)), None)
    if wrong is not None:
        fits = "Give scheme and host of each as the browser shows them, with commas: https://sae.example.org"
        raise InvalidSetting(f"{name}: {wrong} is no origin. {fits}")
    return found


def prefix(name: str = "SAEVIZ_PREFIX") -> str:
    """The path below which a proxy shows the site, "/sae"; empty where it is at the top. SCRIPT_NAME says the same, and
    so does JupyterHub to whoever works in it. Raises InvalidSetting."""
    hub = _said("JUPYTERHUB_SERVICE_PREFIX").rstrip("/")
    said = _said(name) or _said("SCRIPT_NAME") or (hub and f"{hub}/proxy/{_said('PORT') or 8000}")
    found = f"/{said.strip('/')}" if said.strip("/") else ""
    if not PREFIX.fullmatch(found) or found.split("/")[-1] in OWN_ADDRESSES:
        raise InvalidSetting(f"{name}={said} does not fit. Give a path like /sae, of letters, digits and ._~@-.")
    return found


def _device(name: str) -> None:
    if _said(name) and not DEVICE.fullmatch(_said(name)):
        raise InvalidSetting(f"{name}={_said(name)} does not fit. Say auto, cpu, mps, cuda or cuda:0.")


def _zone(name: str) -> None:
    try:
        ZoneInfo(_said(name) or "UTC")
    except (ValueError, OSError, KeyError) as error:
        raise InvalidSetting(f"{name}={_said(name)} is no time zone. Say UTC, or one like Europe/Berlin.") from error


def _hosts(name: str) -> None:
    for host in filter(None, (part.strip() for part in _said(name).split(","))):
        if not HOST.fullmatch(host):
            fits = "Give names or addresses alone, without scheme, port or path, with commas: localhost,sae.example.org"
            raise InvalidSetting(f"{name}: {host} is no host. {fits}")


def _redis(name: str) -> None:
    url = _said(name)
    kind, _, rest = url.partition("://")
    try:
        fits = kind in REDIS and bool(rest if kind == "redis+socket" else urlsplit(url).hostname)
        fits = fits and (kind == "redis+socket" or urlsplit(url).port != 0)
    except ValueError:  # a port that is none
        fits = False
    if url and not fits:
        shown = re.sub(r"(://[^:/@]*:).*@", r"\1...@", url)
        how = "Write redis://host:6379/0, or redis+socket:///path/to/redis.sock for a socket."
        raise InvalidSetting(f"{name}={shown} names no Redis. {how}")


def _webhook(name: str) -> None:
    try:
        fits = urlsplit(_said(name)).scheme in ("http", "https") and urlsplit(_said(name)).hostname
    except ValueError:
        fits = False
    if _said(name) and not fits:
        raise InvalidSetting(f"{name}={_said(name)} is no address. Give one that begins with https:// or http://.")


def _database(name: str) -> None:
    from .database import problem  # brings a library, which a start need not wait for where nothing is set

    if _said(name) and (why := problem(_said(name))):
        raise InvalidSetting(why)
