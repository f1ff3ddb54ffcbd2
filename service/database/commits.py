"""Commits that stay without an answer: while there are many of them, writes are refused, and reads go on.

A commit that waits for its synchronous standby must not be broken off (see `Connection`), so PostgreSQL keeps a process
for it until the standby is back, also when our end of the connection is closed. Were every write sent nevertheless,
those processes would soon be as many as the server takes, and nobody could even read.
"""

import asyncio
from time import monotonic
from types import TracebackType
from typing import Self

import structlog

from service.problems import DatabaseSlow

FIRST_PAUSE_SECONDS = 1.0
PAUSE_MAX_SECONDS = 10.0
"""Between two writes that are let through to find out whether commits are answered again: each may leave one more
process behind."""

log = structlog.get_logger()


class Commits:
    """A circuit breaker for writes; `unanswered_max` commits without an answer open it, the next answer closes it."""

    def __init__(self, unanswered_max: int) -> None:
        self._unanswered_max = unanswered_max
        self._unanswered = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._next_at = 0.0

    def attempt(self) -> "Attempt":
        """`with` this a write is made. Raises DatabaseSlow."""
        return Attempt(self)

    def check(self) -> bool:
        """Whether the write that is about to be made is to find out if commits are answered. Raises DatabaseSlow."""
        if self._unanswered < self._unanswered_max:
            return False
        now = monotonic()
        if now < self._next_at:
            raise DatabaseSlow
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX_SECONDS)
        return True

    def undecided(self) -> None:
        """The write that was to find out had nothing to commit: the next one is to."""
        self._next_at = 0.0
        self._pause = max(self._pause / 2, FIRST_PAUSE_SECONDS)

    def unanswered(self) -> None:
        """The connection of one was closed before its answer came."""
        self._unanswered += 1
        if self._unanswered == self._unanswered_max:
            self._next_at = monotonic() + self._pause
            log.warning("writes_refused", commits_unanswered=self._unanswered)

    def reset(self) -> None:
        """One has been answered, or the server that has them is gone."""
        if self._unanswered >= self._unanswered_max:
            log.info("writes_accepted")
        self._unanswered, self._pause = 0, FIRST_PAUSE_SECONDS


class Attempt:
    """One write; its maker says how far it came."""

    __slots__ = ("_commits", "_finds_out", "sent", "wrote")

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self.sent = False
        """Whether a commit may be under way."""

        self.wrote = False
        """Whether one has been answered."""

    def __enter__(self) -> Self:
        self._finds_out = self._commits.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After these two the answer may still come: whoever waits for it tells if it does not.
        given_up = self.sent and isinstance(error, (TimeoutError, asyncio.CancelledError))
        if self.wrote:
            self._commits.reset()
        elif self._finds_out and not given_up:
            self._commits.undecided()
