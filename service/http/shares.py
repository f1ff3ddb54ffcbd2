"""Fair shares of a process: while several users want something, one of them gets so many requests at once and no more.

A user who is alone may have everything. One who is not, and asks for more than a share, waits in a queue of their own:
the others overtake it. Without this, one client with fifty connections would be as long a queue for everybody else.
"""

import asyncio
from collections import deque
from time import monotonic

from service.deadlines import add_wait, waited
from service.problems import TooManyRequests
from service.telemetry.timing import spent

SEEN_PER_SHARE = 4


class _User:
    __slots__ = ("queue", "running")

    def __init__(self) -> None:
        self.running = 0
        self.queue: deque[asyncio.Future[None]] = deque()


class Shares:
    """Counts in this process alone: it guards this process's pool and event loop."""

    def __init__(self, running_max: int, queued_max: int, *, patience: float) -> None:
        """`patience` is how long a request waits for its turn at the most, in seconds."""
        self._running_max = running_max
        self._queued_max = queued_max
        self._patience = patience
        self._seen = 0
        self._seen_max = SEEN_PER_SHARE * running_max
        self._users: dict[str, _User] = {}

    async def enter(self, name: str) -> None:
        """Wait for one's turn. Raises TooManyRequests when the user's own queue is full, or the turn does not come."""
        user = self._users.get(name)
        if user is None:
            user = self._users[name] = _User()
        if self._has_room(user):
            user.running += 1
        else:
            await self._queue(name, user)

    def leave(self, name: str) -> None:
        user = self._users[name]
        user.running -= 1
        if user.running == 0 and not user.queue:
            del self._users[name]
        self._wake(user)
        if len(self._users) == 1:
            self._wake(*self._users.values())  # alone now: the share no longer binds

    def _has_room(self, user: _User) -> bool:
        return user.running < self._running_max or len(self._users) == 1

    def waiting(self) -> int:
        """How many wait; of each user only so many that one alone does not make the service look full."""
        return self._seen

    async def _queue(self, name: str, user: _User) -> None:
        if len(user.queue) >= self._queued_max:
            raise TooManyRequests(retry_after=1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        user.queue.append(turn)
        self._seen += len(user.queue) <= self._seen_max
        asked_at = monotonic()
        try:
            async with asyncio.timeout(self._patience - waited()):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if turn in user.queue:
                user.queue.remove(turn)
                self._seen -= len(user.queue) < self._seen_max
            elif not turn.cancelled():
                self.leave(name)  # it was called up in the very moment it left: the next one goes instead
            if isinstance(error, TimeoutError):
                raise TooManyRequests(retry_after=1) from error
            raise
        finally:
            seconds = monotonic() - asked_at
            add_wait(seconds)
            spent("pool", "share", seconds)

    def _wake(self, user: _User) -> None:
        while user.queue and self._has_room(user):
            turn = user.queue.popleft()
            self._seen -= len(user.queue) < self._seen_max
            if not turn.done():
                user.running += 1
                turn.set_result(None)


class Share:
    """One request's part in it, from the moment its user is known until the request ends."""

    __slots__ = ("_over", "_shares", "_user")

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._user: str | None = None
        self._over = False

    async def enter(self, user: str) -> None:
        """Raises TooManyRequests. Does nothing once the request is over: Sanic runs middleware for late errors too."""
        if self._over or self._user is not None:
            return
        await self._shares.enter(user)
        self._user = user

    def leave(self) -> None:
        self._over = True
        if self._user is not None:
            self._shares.leave(self._user)
