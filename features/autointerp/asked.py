"""How is one question put, within what may be spent? Counted before it is sent, tried again where that may help, kept
with what it cost in one step."""

import time
from collections.abc import Callable

from django.db import transaction
from django.db.models import F

from ..jobs import lifecycle
from ..messages import BadRequest
from ..models import AutoInterp
from .client import CallFailed, Client, tokens_of

WAITS = (1.0, 4.0)  # seconds before the second and the third try, unless the server says more
MOST_WAIT = 300.0  # seconds that a server may ask for; the job ends where it asks for more
SLICE = 0.5  # seconds between two looks whether somebody has cancelled it


class LimitReached(BadRequest):
    """No further question may be asked; the message says which limit, and how one goes on."""


class Asker:
    """Asks for one job."""

    def __init__(self, lease, client: Client):
        self.lease, self.client = lease, client
        self.row = lifecycle.row(lease.work)

    def ask(self, messages: list[dict], most_tokens: int, read: Callable, keep: Callable) -> None:
        """`keep(read(text))` in one transaction with what it cost. Raises CallFailed, LimitReached, and LeaseLost
        before anything is sent."""
        for wait in (*WAITS, None):
            self._check_limits(tokens_of(messages), most_tokens)
            self.lease.check(calls=F("calls") + 1)
            try:
                answer = self.client.ask(messages, most_tokens)
                break
            except CallFailed as failure:
                self.row.update(failed_calls=F("failed_calls") + 1)
                if wait is None or not failure.again:
                    raise
                self._wait(max(wait, failure.after), failure)
        spent = {"tokens_in": F("tokens_in") + answer.tokens_in, "tokens_out": F("tokens_out") + answer.tokens_out}
        spent |= {} if answer.counted else {"counted_here": True}
        try:
            found = read(answer.text)
        except CallFailed:
            self.row.update(**spent, failed_calls=F("failed_calls") + 1)
            raise
        with transaction.atomic():  # also where somebody has cancelled it meanwhile: it is paid for
            self.row.update(**spent)
            keep(found)

    def _check_limits(self, tokens_in: int, tokens_out: int) -> None:
        now: AutoInterp = self.row.get()
        if now.calls >= now.most_calls:
            raise LimitReached(f"It has reached its limit of {now.most_calls:,} calls. {GO_ON}")
        if now.tokens + tokens_in + tokens_out > now.most_tokens:
            raise LimitReached(
                f"The next question may take {tokens_in + tokens_out:,} tokens, and {now.tokens:,} of its limit of "
                f"{now.most_tokens:,} are spent. {GO_ON}"
            )
        if now.most_cost is not None and now.cost is not None:
            more = (tokens_in * now.price_in + tokens_out * now.price_out) / 1e6
            if now.cost + more > now.most_cost:
                raise LimitReached(
                    f"The next question may cost {more:.4g}, and {now.cost:.4g} of its limit of {now.most_cost:g} are "
                    f"spent. {GO_ON}"
                )

    def _wait(self, seconds: float, failure: CallFailed) -> None:
        """Raises LeaseLost when somebody cancels it meanwhile."""
        if seconds > MOST_WAIT:
            raise CallFailed(f"{failure} It asks to be left alone for {seconds:,.0f} s.", final=True)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.lease.check()
            time.sleep(min(SLICE, left))


GO_ON = "What it has answered is kept: raise the limit on its page, and it goes on from there."
