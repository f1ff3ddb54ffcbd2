"""The connection pool: bounded, counted, and impossible to break from outside.

It lends bare asyncpg connections. What `asyncpg.Pool` would add is either not needed (proxies, a reset statement at
each release: nothing here leaves session state behind) or missing there (recycling by age, a minimum that holds, a way
back for a connection whose caller was cancelled in mid-statement). The ORM and the hot path's statements share it.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Protocol

import asyncpg
import structlog

from service.database import errors
from service.problems import DatabaseUnavailable, PoolExhausted, Problem
from service.telemetry.metrics import DatabaseMetrics

log = structlog.get_logger()

CHECK_AFTER_IDLE_SECONDS = 10.0
"""A connection idle for longer is asked whether it still lives before it is lent: firewalls drop idle ones silently."""

CHECK_TIMEOUT_SECONDS = 0.5
MEND_TIMEOUT_SECONDS = 1.0
CLOSE_TIMEOUT_SECONDS = 1.0
MINIMUM_TIMEOUT_SECONDS = 0.25
"""What a statement gets at the least, however long its request has waited for a connection."""

OPEN_BACKOFF_SECONDS = 0.1
"""After a failed attempt nobody tries for so long; with no connection left, callers get the failure at once."""

RETRIES = 2
RETRY_JITTER_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Times in seconds. `prepared` is off behind a pooler that moves statements between server connections."""

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


@dataclass(frozen=True, slots=True)
class Statement:
    """One fixed SQL text; `operation` is its label in the metrics. Only reads are repeated after a lost connection."""

    operation: str
    sql: str
    reads: bool = False


class Executor(Protocol):
    """Where a statement can be run: the pool, each in a transaction of its own, or one open transaction."""

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]: ...

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None: ...


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """An asyncpg connection that knows its own history."""

    __slots__ = ("generation", "opened_at", "used_at")

    opened_at: float
    used_at: float
    generation: int


class Pool:
    def __init__(self, options: PoolOptions, metrics: DatabaseMetrics) -> None:
        self.options = options
        self._metrics = metrics
        self._idle: deque[Connection] = deque()
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._all: set[Connection] = set()
        self._opening = 0
        self._checking = 0
        self._generation = 0
        self._retry_open_at = 0.0
        self._last_failure: Problem = DatabaseUnavailable()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        metrics.watch_pool(idle=self.idle, in_use=self.in_use, maximum=options.maximum, waiting=self.waiting)

    def idle(self) -> int:
        return len(self._idle)

    def in_use(self) -> int:
        return len(self._all) - len(self._idle)

    def waiting(self) -> int:
        return len(self._waiters)

    async def open(self) -> None:
        """Open the minimum, at least one connection. Raises the driver's error if the first cannot be opened."""
        first = await self._connect()
        self._give(first)
        self._spawn(self._maintain())

    async def close(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(DatabaseUnavailable())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closing = [c.close(timeout=CLOSE_TIMEOUT_SECONDS) for c in self._all]
        self._metrics.closed("shutdown", len(closing))
        await asyncio.gather(*closing, return_exceptions=True)
        self._all.clear()
        self._idle.clear()

    def expire(self) -> None:
        """Replace every connection as soon as it is free: after a failover they lead to the wrong server."""
        self._generation += 1

    # Borrowing

    def lease(self) -> "Lease":
        return Lease(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """A transaction that ends with the block: committed, or rolled back on any exception."""
        try:
            async with self.lease() as connection, connection.transaction():
                yield Transaction(connection, self._metrics)
        except Exception as error:
            self._note(error)
            if (problem := errors.translate(error)) is not None and problem is not error:
                raise problem from error
            raise

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own and return its rows.

        Raises a `Problem` for every fault of the database, and the driver's error for a constraint.
        """
        for attempt in range(RETRIES + 1):
            try:
                return await self._run(statement, args)
            except Exception as error:
                self._note(error)
                if attempt < RETRIES and self._may_repeat(statement, error):
                    await asyncio.sleep(random.uniform(0, RETRY_JITTER_SECONDS) * attempt)  # noqa: S311  jitter
                    continue
                if (problem := errors.translate(error)) is not None and problem is not error:
                    raise problem from error
                raise
        raise AssertionError("unreachable")

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    async def acquire(self) -> Connection:
        """Borrow a connection; `give_back` it in any case. Prefer `lease`, which cannot forget.

        Raises PoolExhausted when none was free in time, DatabaseUnavailable when none can be opened.
        """
        connection = self._take()
        if connection is not None:
            self._metrics.acquire_seconds.observe(0.0)
            return connection
        asked_at = monotonic()
        try:
            return await self._wait(asked_at + self.options.acquire_timeout)
        finally:
            self._metrics.acquire_seconds.observe(monotonic() - asked_at)

    def give_back(self, connection: Connection, error: BaseException | None = None) -> None:
        """Return what `acquire` lent; never awaits, so that no cancellation can come between.

        `error` is what ended its use. After a cancellation or a timeout the server may still be at work on the
        statement: such a connection is mended apart before anyone else gets it.
        """
        if connection.is_closed():
            self._discard(connection, "lost")
        elif isinstance(error, (asyncio.CancelledError, TimeoutError)) or connection.is_in_transaction():
            self._spawn(self._mend(connection))
        elif reason := self._expired(connection):
            self._discard(connection, reason)
        else:
            self._give(connection)

    async def _run(self, statement: Statement, args: Sequence[object]) -> list[asyncpg.Record]:
        asked_at = monotonic()
        connection = await self.acquire()
        started_at = monotonic()
        failure: BaseException | None = None
        try:
            return await self._execute(connection, statement.sql, args, started_at - asked_at)
        except BaseException as error:
            failure = error
            raise
        finally:
            self.give_back(connection, failure)
            self._metrics.query_seconds(statement.operation).observe(monotonic() - started_at)

    async def _execute(
        self, connection: Connection, sql: str, args: Sequence[object], waited: float
    ) -> list[asyncpg.Record]:
        # The wait for a connection counts: a request never spends more than one statement timeout on the database.
        limit = self.options.statement_timeout
        timeout = None if limit is None else max(limit - waited, MINIMUM_TIMEOUT_SECONDS)
        return await connection.fetch(sql, *args, timeout=timeout)  # type: ignore[no-any-return]

    def _may_repeat(self, statement: Statement, error: Exception) -> bool:
        if isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)):
            return True  # a migration changed the table under a prepared plan, and nothing was run
        if errors.sqlstate(error) in errors.ROLLED_BACK:
            return True
        return statement.reads and errors.connection_lost(error)

    def _note(self, error: Exception) -> None:
        state = errors.sqlstate(errors.cause_of(error))
        if state == errors.READ_ONLY or isinstance(error, asyncpg.InvalidCachedStatementError):
            self.expire()

    def _take(self) -> Connection | None:
        """The idle connection that was used last, if it can be lent as it is."""
        while self._idle:
            connection = self._idle[-1]
            if connection.is_closed():
                self._idle.pop()
                self._discard(connection, "lost")
            elif monotonic() - connection.used_at > CHECK_AFTER_IDLE_SECONDS:
                return None
            elif reason := self._expired(connection):
                self._idle.pop()
                self._discard(connection, reason)
            else:
                return self._idle.pop()
        return None

    async def _wait(self, deadline: float) -> Connection:
        if self._idle:
            self._checking += 1
            self._spawn(self._check(self._idle.pop()))
        elif not self._all and not self._opening and monotonic() < self._retry_open_at:
            raise type(self._last_failure)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection] = loop.create_future()
        self._waiters.append(waiter)
        self._open_for_waiters()
        timer = loop.call_later(max(deadline - monotonic(), 0), self._give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give(waiter.result())  # it was served in the very moment it was cancelled
            raise
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _give_up(self, waiter: "asyncio.Future[Connection]") -> None:
        if not waiter.done():
            self._metrics.acquire_timeouts.inc()
            waiter.set_exception(PoolExhausted())

    def _give(self, connection: Connection) -> None:
        """To whoever has waited longest, or onto the idle stack."""
        connection.used_at = monotonic()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)

    # Opening, mending, closing: what needs the network happens in tasks that no request can cancel

    def _open_for_waiters(self) -> None:
        if self._closed or monotonic() < self._retry_open_at:
            return
        room = self.options.maximum - len(self._all) - self._opening
        for _ in range(min(room, len(self._waiters) - self._opening - self._checking)):
            self._opening += 1
            self._spawn(self._open_one())

    async def _open_one(self) -> None:
        try:
            connection = await self._connect()
        except Exception as error:  # noqa: BLE001  whatever it was, the waiters must hear of it
            self._opening -= 1
            self._open_failed(error)
        except BaseException:
            self._opening -= 1
            raise
        else:
            self._opening -= 1
            self._give(connection)

    def _open_failed(self, error: Exception) -> None:
        self._retry_open_at = monotonic() + OPEN_BACKOFF_SECONDS
        self._last_failure = errors.translate(error) or DatabaseUnavailable()
        log.warning("database_connect_failed", error=type(error).__name__)
        if self._all or self._opening:
            asyncio.get_running_loop().call_later(OPEN_BACKOFF_SECONDS, self._open_for_waiters)
            return  # others may still come back to serve the waiters
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(type(self._last_failure)())

    async def _connect(self) -> Connection:
        o = self.options
        connection: Connection = await asyncpg.connect(
            o.dsn,
            connection_class=Connection,
            timeout=o.connect_timeout,
            command_timeout=o.statement_timeout,
            statement_cache_size=100 if o.prepared else 0,
            server_settings=dict(o.server_settings) or None,
        )
        connection.opened_at = connection.used_at = monotonic()
        connection.generation = self._generation
        self._all.add(connection)
        self._metrics.opened.inc()
        return connection

    async def _check(self, connection: Connection) -> None:
        """Lend a connection that was idle for long only after it has answered."""
        try:
            await connection.execute("SELECT", timeout=CHECK_TIMEOUT_SECONDS)
        except Exception:  # noqa: BLE001  any failure means the same: it is dead
            self._checking -= 1
            self._discard(connection, "lost")
        else:
            self._checking -= 1
            self._give(connection)

    async def _mend(self, connection: Connection) -> None:
        """Wait for the server to be done with the statement that was given up, roll back, and lend it again."""
        try:
            await connection.reset(timeout=MEND_TIMEOUT_SECONDS)
        except Exception:  # noqa: BLE001  any failure means the same: it cannot be trusted
            self._discard(connection, "broken")
        else:
            self.give_back(connection)

    def _expired(self, connection: Connection) -> str | None:
        if connection.generation != self._generation:
            return "expired"
        return "max_age" if monotonic() - connection.opened_at > self.options.max_age else None

    def _discard(self, connection: Connection, reason: str) -> None:
        self._all.discard(connection)
        self._metrics.closed(reason)
        if reason in ("lost", "broken"):
            connection.terminate()
        else:
            self._spawn(self._close_one(connection))
        self._open_for_waiters()

    async def _close_one(self, connection: Connection) -> None:
        try:
            await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)
        except Exception:  # noqa: BLE001  it is gone either way
            connection.terminate()

    async def _maintain(self) -> None:
        """Shrink to the minimum, replace what is too old or was lost, and grow back to the minimum."""
        while True:
            now = monotonic()
            for connection in list(self._idle):
                reason = "lost" if connection.is_closed() else self._expired(connection)
                if (
                    not reason
                    and len(self._all) > self.options.minimum
                    and now - connection.used_at > self.options.max_idle
                ):
                    reason = "max_idle"
                if reason:
                    self._idle.remove(connection)
                    self._discard(connection, reason)
            missing = self.options.minimum - len(self._all) - self._opening
            for _ in range(missing if now >= self._retry_open_at else 0):
                self._opening += 1
                self._spawn(self._open_one())
            await asyncio.sleep(min(max(self.options.max_idle / 4, 0.1), 1.0))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Transaction:
    """Runs statements one after the other in one transaction. Raises the driver's errors as they are."""

    __slots__ = ("_connection", "_metrics")

    def __init__(self, connection: Connection, metrics: DatabaseMetrics) -> None:
        self._connection = connection
        self._metrics = metrics

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]:
        started_at = monotonic()
        try:
            return await self._connection.fetch(statement.sql, *args)  # type: ignore[no-any-return]
        finally:
            self._metrics.query_seconds(statement.operation).observe(monotonic() - started_at)

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None


class Lease:
    """`async with pool.lease() as connection`: given back at the end of the block, whatever ended it."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.acquire()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._connection, error)
