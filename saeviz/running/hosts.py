"""Under which names does the site answer, and what is to be said of them at a start?"""

import os

from ..env import prefix

HERE = ["localhost", "127.0.0.1", "[::1]"]
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # "every address of this machine" -> the one to reach it by here


def allowed() -> list[str]:
    """ALLOWED_HOSTS; where it is not set, this machine, and the one address that HOST names."""
    said = [name.strip() for name in os.environ.get("ALLOWED_HOSTS", "").split(",") if name.strip()]
    host = os.environ.get("HOST", "")
    return said or HERE + ([] if host in ("", *EVERYWHERE) else [bracketed(host)])


def only_here() -> bool:
    """Whether only this machine's own names are answered: one person reads, and need not sign in."""
    return set(allowed()) <= set(HERE)


def address(host: str, port: int) -> str:
    """Where somebody at this machine finds the site, before its prefix."""
    return f"http://{bracketed(EVERYWHERE.get(host, host))}:{port}"


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def remark(host: str) -> str:
    """What keeps other machines out although HOST lets them in; "" where nothing does."""
    if host not in EVERYWHERE or os.environ.get("ALLOWED_HOSTS"):
        return ""
    return (
        f"Other machines can reach it, but it answers them only under the names in ALLOWED_HOSTS, which is not set: "
        f"make run HOST={host} ALLOWED_HOSTS=localhost,NAME-OR-ADDRESS-OF-THIS-MACHINE"
    )


def in_a_hub() -> str:
    """Where a browser finds it that shows JupyterHub, where the terminal is one of its; else ""."""
    hub, own = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "").rstrip("/"), prefix()
    if not hub or not own.startswith(f"{hub}/"):
        return ""
    public = os.environ.get("JUPYTERHUB_PUBLIC_URL", "").rstrip("/")
    return f"In JupyterHub open {public.removesuffix(hub)}{own}/" + (not public) * " behind the hub's own address"
