"""One connection: how it is opened, on which of several hosts, and how it is brought back after a cancellation."""

from dataclasses import dataclass
from random import uniform
from time import monotonic

import asyncpg

from service.database.url import hosts

BACKOFF_FIRST_SECONDS = 0.05
BACKOFF_MAX_SECONDS = 0.5
CLOCK_SECONDS = 0.001
"""A timer of the loop may fire so much before its time."""

AGE_JITTER = 0.1
"""Connections that were opened together end up to this part of their age apart, not all in one moment."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Times in seconds. `prepared` is off behind a pooler that moves statements between server connections.

    `statement_timeout` bounds all that one request does on a connection at a time, the wait for it included.
    """

    dsn: str
    minimum: int = 0
    maximum: int = 2
    acquire_timeout: float = 1.0
    connect_timeout: float = 2.0
    statement_timeout: float | None = 2.0
    max_age: float = 3600.0
    max_idle: float = 300.0
    prepared: bool = True
    server_settings: tuple[tuple[str, str], ...] = ()


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """An asyncpg connection that knows its own history."""

    __slots__ = ("expires_at", "generation", "used_at")

    expires_at: float
    used_at: float
    generation: int

    async def mend(self, timeout_seconds: float) -> None:
        """Wait until the server is done with what was given up, and roll back what that left open.

        Raises whatever shows that this connection cannot be trusted any more.
        """
        self._top_xact = None  # type: ignore[misc]  # asyncpg would take the next transaction for a nested one
        await self.execute("ROLLBACK" if self.is_in_transaction() else "SELECT", timeout=timeout_seconds)
        if self.is_in_transaction():  # the BEGIN that was given up came through after all
            await self.execute("ROLLBACK", timeout=timeout_seconds)

    async def end(self, timeout_seconds: float) -> None:
        """Close it, politely if the server still listens."""
        try:
            await self.close(timeout=timeout_seconds)
        except Exception:  # noqa: BLE001  it is gone either way
            self.terminate()


class Backoff:
    """After failed attempts one connection is tried at a time, ever further apart, and callers hear of it at once."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    def failed(self) -> float:
        """Returns in how many seconds the next attempt is due."""
        seconds = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(self.failures, 10), BACKOFF_MAX_SECONDS)
        seconds *= uniform(0.75, 1)  # noqa: S311  jitter
        self.failures += 1
        self.until = monotonic() + seconds
        return seconds + CLOCK_SECONDS


class Connector:
    """Opens connections. Of several hosts, the one that served last is asked first."""

    def __init__(self, options: PoolOptions) -> None:
        self._options = options
        self._hosts = hosts(options.dsn)

    async def connect(self) -> Connection:
        """Raises the driver's error of the last host that was asked.

        Each host has its share of the time: asyncpg would spend all of it on the first one, even a dead one.
        """
        failure: Exception = OSError("no host")
        for host in tuple(self._hosts):
            try:
                connection = await self._connect_to(host, self._options.connect_timeout / len(self._hosts))
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                failure = error
                continue
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            return connection
        raise failure

    async def _connect_to(self, host: tuple[str, int], timeout_seconds: float) -> Connection:
        o = self._options
        connection: Connection = await asyncpg.connect(
            o.dsn,
            host=host[0],
            port=host[1],
            connection_class=Connection,
            timeout=timeout_seconds,
            statement_cache_size=100 if o.prepared else 0,
            server_settings=dict(o.server_settings),
        )
        connection.used_at = monotonic()
        connection.expires_at = connection.used_at + o.max_age * uniform(1 - AGE_JITTER, 1)  # noqa: S311  jitter
        return connection
