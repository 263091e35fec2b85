"""Which numbers may the environment set, and does what it says fit?"""

import os

MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
DEFAULTS = {
    "SAEVIZ_TOKENS": 500_000,
    "SAEVIZ_QUICK_TOKENS": 32_768,
    "SAEVIZ_PROMPT_TOKENS": 1024,
    "SAEVIZ_PROMPT_BYTES": 20_000,
    "SAEVIZ_LOADED_SUBJECTS": 2,
    "SAEVIZ_MAX_BYTES": min(MEMORY, 64 << 30),
    "SAEVIZ_MAX_UPLOAD": 4 << 30,
    "SAEVIZ_KEPT_BYTES": 4 << 30,
    "SAEVIZ_SILENT_AFTER": 20,
    "SAEVIZ_ATTEMPTS": 3,
    "WORKERS": 1,
}
MAY_BE_0 = {"SAEVIZ_MAX_UPLOAD", "SAEVIZ_KEPT_BYTES"}
SHARES = {"SAEVIZ_COMMON_DIRECTION": 0.2}  # from 0 to 1


class InvalidSetting(ValueError):
    """A variable holds no number that fits; the message names both and what would."""


def check() -> None:
    """Read all of them. Raises InvalidSetting."""
    for name in DEFAULTS:
        number(name)
    for name in SHARES:
        share(name)


def number(name: str) -> int:
    """The variable's number, its default where it is unset or empty. Raises InvalidSetting."""
    text, default, least = os.environ.get(name, "").strip(), DEFAULTS[name], 0 if name in MAY_BE_0 else 1
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
    text, default = os.environ.get(name, "").strip(), SHARES[name]
    try:
        value = float(text or default)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidSetting(f"{name}={text} does not fit. Give a number from 0 to 1; left out, it is {default}.")
    return value
