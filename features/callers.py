"""Whose is a request, by the address that it comes from? Without Django: the server asks before there is a request."""

from collections.abc import Container
from ipaddress import IPv6Address, ip_address

HERE = {"127.0.0.1", "::1"}
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "Via")
SITE = 64  # bits of an IPv6 address that one subscriber has: all behind them are one


def is_here(address: str | None, headers: Container[str]) -> bool:
    """Whether it comes from this machine, and no proxy here brings it from elsewhere."""
    return address in HERE and not any(name in headers for name in FORWARDED)


def subscriber(address: str) -> str:
    """Who is counted for an address; what is none, as a name or a socket, stays as it is."""
    try:
        found = ip_address(address.split("%")[0])
    except ValueError:
        return address[:64]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    # The lower bits become 0: whatever host the subscriber chooses behind them.
    return str(IPv6Address(int(found) >> (128 - SITE) << (128 - SITE)))
