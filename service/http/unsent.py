"""Answers that their clients have not taken yet: what one user, and all together, may leave in memory here."""

from collections.abc import Callable, Collection, Iterable
from time import monotonic
from typing import Protocol

USER_BYTES_MAX = 8 * 1024 * 1024
"""Eight of the largest pages. A user with so much unsent waits for a slot until some of it has been taken.

Requests that had slots before can make it more: at twice as much, the connections that take nothing are cut.
"""

TOTAL_BYTES_MAX = 48 * 1024 * 1024
"""With what an idle process takes and what requests take while they are worked on, well below 256 MiB."""


STALLED_SECONDS = 9.0
"""A client that takes nothing of its answer for so long is cut."""

TAKEN_SECONDS = 60.0
"""A client that has not taken all of its answer by then is cut: at 1 MiB, 17 KiB a second."""


class Backlog:
    """What one connection has not sent yet, and whether its client takes any of it."""

    __slots__ = ("_measure", "_since", "_size", "_taken_at")

    def __init__(self, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._size = 0
        self._since = self._taken_at = 0.0

    def size(self, now: float) -> int:
        """In bytes; `now` is a reading of `monotonic`."""
        left = self._measure()
        if not left or not self._size:
            self._since = self._taken_at = now
        elif left < self._size:
            self._taken_at = now
        self._size = left
        return left

    def stalled_seconds(self, now: float) -> float:
        return now - self._taken_at

    def is_overdue(self, now: float) -> bool:
        return self.size(now) > 0 and (now - self._taken_at > STALLED_SECONDS or now - self._since > TAKEN_SECONDS)


class Reader(Protocol):
    """A connection whose client is behind: more is unsent than the transport wants to buffer."""

    backlog: Backlog

    def cut(self, reason: str) -> None:
        """Close the connection, and throw away what is unsent."""
        ...


class Unsent:
    def __init__(self, *, user_max: int = USER_BYTES_MAX, total_max: int = TOTAL_BYTES_MAX) -> None:
        self._user_max = user_max
        self._total_max = total_max
        self._readers: dict[Reader, str | None] = {}
        self._by_user: dict[str, set[Reader]] = {}
        self.on_taken: Callable[[str], None] = lambda _: None
        """Called with the user when a client has caught up, or its connection is gone."""

    def total(self) -> int:
        return _size(self._readers)

    def is_full(self, user: str) -> bool:
        readers = self._by_user.get(user)
        return readers is not None and _size(readers) >= self._user_max

    def add(self, reader: Reader, user: str | None) -> None:
        """The client has fallen behind. When all together are too much, whoever has taken nothing for longest is cut.

        An answer is rendered before anybody knows whether it will be taken, so that only cutting keeps the bound.
        """
        self._readers[reader] = user
        if user is not None:
            self._by_user.setdefault(user, set()).add(reader)
        if user is not None:
            _cut_down(self._by_user[user], 2 * self._user_max)
        _cut_down(self._readers, self._total_max)

    def remove(self, reader: Reader) -> None:
        """The client has caught up, or its connection is gone."""
        user = self._readers.pop(reader, None)
        if user is None:
            return
        readers = self._by_user[user]
        readers.discard(reader)
        if not readers:
            del self._by_user[user]
        self.on_taken(user)


def _size(readers: Iterable[Reader]) -> int:
    now = monotonic()
    return sum(reader.backlog.size(now) for reader in readers)


def _cut_down(readers: Collection[Reader], bytes_max: int) -> None:
    """Each that is cut takes itself out of `readers`."""
    while _size(readers) > bytes_max:
        now = monotonic()
        max(readers, key=lambda reader: reader.backlog.stalled_seconds(now)).cut("unsent_limit")
