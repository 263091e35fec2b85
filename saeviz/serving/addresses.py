"""Whose are connections and requests, and what may one address have of them while others want some too?

At most so many connections: one more closes the one that was silent longest. What comes over this machine's own
address (a proxy, JupyterHub, a reader here) is many people's, and has no bound; behind a proxy that is believed,
requests count for the address that it names.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from features.callers import HERE, subscriber


def of(client: tuple | None) -> str | None:
    """Who a connection is counted for; None: this machine, or nobody knows."""
    return None if not client or client[0] in HERE else subscriber(client[0])


def behind_proxy(scope) -> str | None:
    """Who a request is counted for that a believed proxy brings: the last address it names, which is its own word."""
    said = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return subscriber(said[-1].decode("latin-1").split(",")[-1].strip()) if said else None


class Crowd:
    """Open connections by address, the oldest first. Each has `is_idle`, and `make_room()`, which closes it."""

    def __init__(self, most: int):
        self.most = most  # of an address; 0: any number
        self._of: dict[str, dict] = {}

    def enter(self, address: str | None, connection) -> bool:
        """Whether there is room, made by closing an idle one of the same address where that is needed."""
        if not self.most or address is None:
            return True
        here = self._of.setdefault(address, {})
        if len(here) >= self.most:
            idle = next((each for each in here if each.is_idle), None)
            if idle is None:
                return False
            del here[idle]
            idle.make_room()
        here[connection] = None
        return True

    def leave(self, address: str | None, connection) -> None:
        here = self._of.get(address, {})
        here.pop(connection, None)
        if not here:
            self._of.pop(address, None)


class UnderWay:
    """How many requests of each address are under way."""

    def __init__(self):
        self.all, self.of = 0, Counter()

    @asynccontextmanager
    async def one(self, address: str | None) -> AsyncIterator[None]:
        self.all += 1
        self.of[address] += 1
        try:
            yield
        finally:
            self.all -= 1
            self.of[address] -= 1
            if not self.of[address]:
                del self.of[address]


class Turns:
    """At most `most` of an address at a time; its others wait, and others' do not."""

    def __init__(self, most: int):
        self.most = most
        self._of: dict[str, list] = {}  # address -> [turns, how many have or want one]

    @asynccontextmanager
    async def one(self, address: str | None) -> AsyncIterator[None]:
        if address is None:
            yield
            return
        mine = self._of.setdefault(address, [asyncio.Semaphore(self.most), 0])
        mine[1] += 1
        try:
            async with mine[0]:
                yield
        finally:
            mine[1] -= 1
            if not mine[1]:
                del self._of[address]
