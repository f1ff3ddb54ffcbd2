"""Commits that stay without an answer: while there are many of them, writes are refused, and reads go on.

A commit that waits for its synchronous standby must not be broken off (see `Connection`), so PostgreSQL keeps a process
for it until the standby is back, also when our end of the connection is closed. Were every write sent nevertheless,
those processes would soon be as many as the server takes, and nobody could even read.
"""

from time import monotonic

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

    def check(self) -> None:
        """Before a write. Raises DatabaseSlow."""
        if self._unanswered < self._unanswered_max:
            return
        now = monotonic()
        if now < self._next_at:
            raise DatabaseSlow
        self._next_at = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX_SECONDS)

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
