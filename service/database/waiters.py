"""The queue for a connection: first come, first served, each until its own deadline, with one timer for all."""

import asyncio
from collections import OrderedDict
from math import inf

from service.database.connection import Connection
from service.problems import DatabaseUnavailable, PoolExhausted

TIMER_SLACK_SECONDS = 0.01
"""How much later than its deadline a wait may end: deadlines that are closer together share one run of the timer."""


class Waiters:
    def __init__(self) -> None:
        self._queue: OrderedDict[asyncio.Future[Connection], float] = OrderedDict()  # with their deadlines
        self._timer_at = inf

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, timeout_seconds: float) -> asyncio.Future[Connection]:
        """The future gets a connection, or PoolExhausted or DatabaseUnavailable. `leave` when it is awaited no more."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection] = loop.create_future()
        deadline = self._queue[waiter] = loop.time() + timeout_seconds
        self._set_timer(deadline)
        return waiter

    def leave(self, waiter: asyncio.Future[Connection]) -> None:
        self._queue.pop(waiter, None)

    def serve(self, connection: Connection) -> bool:
        """Give it to the one that has waited longest; False if nobody waits."""
        while self._queue:
            waiter, _ = self._queue.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def refuse_all(self) -> None:
        """No connection can be opened for any of them."""
        while self._queue:
            waiter, _ = self._queue.popitem(last=False)
            if not waiter.done():
                waiter.set_exception(DatabaseUnavailable())

    def _set_timer(self, deadline: float) -> None:
        if deadline < self._timer_at:
            self._timer_at = deadline
            asyncio.get_running_loop().call_at(deadline + TIMER_SLACK_SECONDS, self._time_out)

    def _time_out(self) -> None:
        """End the waits whose deadline has passed. They need not be the first: some waited elsewhere before."""
        now = asyncio.get_running_loop().time()
        for waiter in [waiter for waiter, deadline in self._queue.items() if deadline <= now]:
            del self._queue[waiter]
            if not waiter.done():
                waiter.set_exception(PoolExhausted())
        self._timer_at = inf
        if self._queue:
            self._set_timer(min(self._queue.values()))
