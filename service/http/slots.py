"""Slots: while several users want something, one of them has so many requests under way at once and no more.

A user who is alone may have everything. One who is not, and asks for more than these slots, waits in a queue apart:
the others overtake it. Without this, one client with fifty connections would put fifty requests ahead of all others.
"""

import asyncio
from collections import deque
from time import monotonic

from service.deadlines import add_wait, waited
from service.http.capacity import Capacity
from service.http.unsent import Unsent
from service.problems import TooManyRequests
from service.telemetry.timing import spent


class _User:
    __slots__ = ("queue", "running")

    def __init__(self) -> None:
        self.running = 0
        self.queue: deque[asyncio.Future[None]] = deque()


class Slots:
    """Counts in this process alone: it guards this process's pool and event loop."""

    def __init__(self, capacity: Capacity, unsent: Unsent, *, timeout_seconds: float) -> None:
        """`timeout_seconds` is how long a request waits for its slot at the most."""
        self._capacity = capacity
        self._unsent = unsent
        self._timeout_seconds = timeout_seconds
        self._visible = 0
        self._users: dict[str, _User] = {}
        unsent.on_taken = self._taken

    def waiting(self) -> int:
        """How many wait; of each user only so many that one alone does not get the requests of others refused."""
        return self._visible

    async def acquire(self, name: str) -> None:
        """Wait for a slot. Raises TooManyRequests when the user's own queue is full, or no slot is free in time."""
        user = self._users.get(name)
        if user is None:
            user = self._users[name] = _User()
        if self._is_free(name, user):
            user.running += 1
        else:
            await self._wait(name, user)

    def release(self, name: str) -> None:
        user = self._users[name]
        user.running -= 1
        self._serve(name, user)

    def _is_free(self, name: str, user: _User) -> bool:
        free = user.running < self._capacity.slots_per_user or len(self._users) == 1
        return free and not self._unsent.is_full(name)

    async def _wait(self, name: str, user: _User) -> None:
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asked_at = monotonic()
        try:
            self._enqueue(user, slot)
            async with asyncio.timeout(self._timeout_seconds - waited()):
                await slot
        except BaseException as error:
            self._abandon(name, user, slot)
            if isinstance(error, TimeoutError):
                raise TooManyRequests(retry_after=1) from error
            raise
        finally:
            seconds = monotonic() - asked_at
            add_wait(seconds)
            spent("pool", "slot", seconds)

    def _enqueue(self, user: _User, slot: asyncio.Future[None]) -> None:
        if len(user.queue) >= self._capacity.queue_per_user:
            raise TooManyRequests(retry_after=1)
        user.queue.append(slot)
        self._visible += len(user.queue) <= self._capacity.visible_per_user

    def _abandon(self, name: str, user: _User, slot: asyncio.Future[None]) -> None:
        """The request waits no more. It may have been given its slot in this very turn of the loop: the next has it."""
        if slot in user.queue:
            user.queue.remove(slot)
            self._left_queue(user)
        elif slot.done() and not slot.cancelled():
            user.running -= 1
        self._serve(name, user)

    def _serve(self, name: str, user: _User) -> None:
        """Give the user's free slots to those in its queue, and forget a user who has nothing here any more.

        Whoever leaves the queue comes through here. A user who stayed behind with neither a request nor a queue would
        count as one of "several" for good, and no other user would get more than those slots again.
        """
        while user.queue and (user.queue[0].done() or self._is_free(name, user)):
            slot = user.queue.popleft()
            self._left_queue(user)
            if not slot.done():  # else it was cancelled, and its request has not been told yet
                user.running += 1
                slot.set_result(None)
        if not user.running and not user.queue and self._users.get(name) is user:
            del self._users[name]
            self._serve_the_last()

    def _serve_the_last(self) -> None:
        if len(self._users) == 1:  # alone now: more slots than before
            ((name, user),) = self._users.items()
            self._serve(name, user)

    def _taken(self, name: str) -> None:
        if (user := self._users.get(name)) is not None:
            self._serve(name, user)

    def _left_queue(self, user: _User) -> None:
        self._visible -= len(user.queue) < self._capacity.visible_per_user


class Slot:
    """One request's slot, from the moment its user is known until the request ends."""

    __slots__ = ("_over", "_slots", "user")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._over = False
        self.user: str | None = None
        """Whose it is; None before it is acquired."""

    async def acquire(self, user: str) -> None:
        """Raises TooManyRequests. Does nothing once the request is over: Sanic runs middleware for late errors too."""
        if self._over or self.user is not None:
            return
        await self._slots.acquire(user)
        self.user = user

    def release(self) -> None:
        self._over = True
        if self.user is not None:
            self._slots.release(self.user)
