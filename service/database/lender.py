"""The bounded set of connections: who gets one, who waits, when one is opened, checked, repaired and closed."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

import structlog

from service.background import Background
from service.database import errors
from service.database.commits import Commits
from service.database.connection import Backoff, Connection, Connector, PoolOptions
from service.database.faults import sentence
from service.database.waiters import Waiters
from service.deadlines import add_wait, waited
from service.problems import DatabaseUnavailable, PoolExhausted
from service.telemetry.metrics import DatabaseMetrics
from service.telemetry.timing import spent

log = structlog.get_logger()

CHECK_AFTER_IDLE_SECONDS = 10.0
"""A connection idle for longer is asked whether it still lives before it is lent: firewalls drop idle ones silently."""

CHECK_TIMEOUT_SECONDS = 0.5
REPAIR_TIMEOUT_SECONDS = 1.0
CLOSE_TIMEOUT_SECONDS = 1.0

UNANSWERED_COMMITS_MIN = 5
"""So many, or half the maximum of the pool, have writes refused: a few are what a network loses."""

EXPIRE_INTERVAL_SECONDS = 1.0
"""While a failover takes its time, new connections may be read-only too: this bounds how often all are replaced."""


class Lender:
    def __init__(self, options: PoolOptions, metrics: DatabaseMetrics, background: Background) -> None:
        """`background` is the pool's own, and ends with it."""
        self.options = options
        self.metrics = metrics
        self._background = background
        self._connector = Connector(options)
        self._all: set[Connection] = set()
        self._idle: deque[Connection] = deque()  # the one used last is at the right, and lent first
        self._waiters = Waiters()
        self.commits = Commits(max(options.maximum // 2, UNANSWERED_COMMITS_MIN))
        self._opening = self._checking = self._closing = 0
        self._backoff = Backoff()
        self._suspect_before = 0.0  # a connection last used earlier may have died with another that did
        self._generation = 0
        self._expired_at = 0.0
        self._closed = False
        self.on_schema_fault: Callable[[], None] | None = None
        metrics.watch_pool(idle=self.idle, in_use=self.in_use, maximum=options.maximum, waiting=self.waiting)

    def idle(self) -> int:
        return len(self._idle)

    def in_use(self) -> int:
        """Lent, or being checked or repaired."""
        return len(self._all) - len(self._idle)

    def waiting(self) -> int:
        return len(self._waiters)

    async def open(self) -> None:
        """Open one connection, and the rest of the minimum soon after. Raises the driver's error."""
        self._give(await self._connect())
        interval = min(max(self.options.max_idle / 4, 0.1), 1.0)
        self._background.every("pool_maintenance", self._maintain, seconds=interval, at_once=True)

    async def close(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        self._waiters.refuse_all()
        await self._background.stop(CLOSE_TIMEOUT_SECONDS)
        self.metrics.closed("shutdown", len(self._all))
        await asyncio.gather(*(connection.end(CLOSE_TIMEOUT_SECONDS) for connection in self._all))
        self._all.clear()
        self._idle.clear()

    def expire(self) -> None:
        """Replace every connection as soon as it is free: after a failover they lead to the wrong server."""
        if monotonic() - self._expired_at > EXPIRE_INTERVAL_SECONDS:
            self._expired_at = monotonic()
            self._generation += 1

    async def acquire(self) -> Connection:
        """Borrow a connection; `give_back` it in any case. Prefer `Pool.lease`, which cannot forget.

        Raises PoolExhausted when none was free in time, DatabaseUnavailable when none can be opened.
        """
        connection = self._take()
        if connection is not None:
            self.metrics.acquire_seconds.observe(0.0)
            return connection
        asked_at = monotonic()
        try:
            return await self._wait()
        except PoolExhausted:
            self.metrics.acquire_timeouts.inc()
            raise
        finally:
            self.record_wait(monotonic() - asked_at)

    async def borrow(self) -> Connection:
        """As `acquire`, for work of the pool's own: no request counts it as its wait."""
        return self._take() or await self._wait()

    def record_wait(self, seconds: float) -> None:
        """A request has waited so long for a connection."""
        self.metrics.acquire_seconds.observe(seconds)
        add_wait(seconds)
        spent("pool", "pool.acquire", seconds)

    def give_back(self, connection: Connection, error: BaseException | None = None) -> None:
        """Return what `acquire` lent; never awaits, so that no cancellation can come between.

        `error` is what ended its use. After a cancellation or a timeout the server may still run the
        statement, and a failed transaction is still open: a task repairs such a connection before it is lent again.
        """
        self._learn(connection, error)
        if connection.is_closed():
            self._discard(connection, "lost")
        elif error is not None and errors.sqlstate(errors.cause_of(error)) in errors.SESSION_CHANGED:
            log.warning("database_session_changed", reason=sentence(error))
            self._discard(connection, "broken")  # with what the driver takes for prepared
        elif isinstance(error, (asyncio.CancelledError, TimeoutError)) or connection.is_in_transaction():
            self._background.spawn("pool_repair", self._repair, connection)
        elif reason := self._expired(connection):
            self._discard(connection, reason)
        else:
            self._give(connection)

    def _learn(self, connection: Connection, error: BaseException | None) -> None:
        if error is None:
            return
        cause = errors.cause_of(error)
        if errors.schema_lacking(cause) and self.on_schema_fault is not None:
            self.on_schema_fault()
        if connection.generation != self._generation:
            return
        if errors.sqlstate(cause) == errors.READ_ONLY or isinstance(cause, errors.STALE_PLAN):
            self.expire()

    def observe(self, operation: str, seconds: float) -> None:
        self.metrics.query_seconds(operation).observe(seconds)
        spent("db", operation, seconds)

    # Lending

    def _take(self) -> Connection | None:
        """The idle connection that was used last, if it can be lent as it is."""
        while self._idle:
            connection = self._idle[-1]
            if not connection.is_closed() and self._is_suspect(connection):
                return None
            self._idle.pop()
            reason = "lost" if connection.is_closed() else self._expired(connection)
            if reason is None:
                return connection
            self._discard(connection, reason)
        return None

    async def _wait(self) -> Connection:
        if self._closed:
            raise DatabaseUnavailable
        if self._idle:
            self._checking += 1
            self._background.spawn("pool_check", self._check, self._idle.pop())
        elif self._backoff.failures and not self._all:
            self._grow()
            raise DatabaseUnavailable
        waiter = self._waiters.join(self.options.acquire_timeout - waited())
        self._grow()
        try:
            return await waiter
        except BaseException as error:
            self._waiters.leave(waiter)
            cancelled = isinstance(error, asyncio.CancelledError)
            if cancelled and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())  # it was served before its cancellation was delivered
            raise

    def _give(self, connection: Connection) -> None:
        """To whoever has waited longest, or onto the idle stack."""
        connection.used_at = monotonic()
        connection.commits_since = None
        if not self._waiters.serve(connection):
            self._idle.append(connection)

    # Opening, checking, repairing, closing: what needs the network happens in tasks that no request can cancel

    def _grow(self) -> None:
        """Open what the waiters need and what is missing to the minimum, within the maximum.

        After failed attempts at least one, so that no request has to fail to find out that the database is back.
        """
        if len(self._all) == self.options.maximum or self._closed or monotonic() < self._backoff.until:
            return
        minimum = max(self.options.minimum, 1 if self._backoff.failures else 0)
        missing = max(len(self._waiters) - self._checking, minimum - len(self._all))
        free = self.options.maximum - len(self._all) - self._closing
        if self._backoff.failures:
            free = min(free, 1)
        for _ in range(min(missing, free) - self._opening):
            self._opening += 1
            self._background.spawn("pool_open", self._open_one)

    async def _open_one(self) -> None:
        try:
            connection = await self._connect()
        except BaseException as error:
            self._opening -= 1
            if not self._closed:
                self._open_failed(error)  # whatever it was, the waiters must hear of it
            if not errors.of_database(error):
                raise
        else:
            self._opening -= 1
            self._give(connection)
            self._grow()

    def _open_failed(self, error: BaseException) -> None:
        if not self._backoff.failures:
            log.warning(
                "database_connect_failed",
                error=type(error).__name__,
                sqlstate=errors.sqlstate(error),
                reason=sentence(error, self.options.database),
            )
        if errors.sqlstate(error) != errors.TOO_MANY_CONNECTIONS:
            self.commits.reset()  # the server is not there: nothing piles up on it
        asyncio.get_running_loop().call_later(self._backoff.failed(), self._grow)
        if not self._all and not self._opening:
            self._waiters.refuse_all()  # nobody is left who could come back to serve them

    async def _connect(self) -> Connection:
        generation = self._generation
        connection = await self._connector.connect()
        if self._backoff.failures:
            log.info("database_connected", failures=self._backoff.failures)
        self._backoff = Backoff()
        connection.generation = generation
        self._all.add(connection)
        self.metrics.opened.inc()
        return connection

    async def _check(self, connection: Connection) -> None:
        """Lend a connection that may have died unnoticed only after it has answered."""
        try:
            await connection.execute("SELECT", timeout=CHECK_TIMEOUT_SECONDS)
        except BaseException as error:
            self._checking -= 1
            self._failed(connection, "lost")
            if not errors.of_database(error):
                raise
        else:
            self._checking -= 1
            self._give(connection)

    async def _repair(self, connection: Connection) -> None:
        try:
            await connection.repair(self._repair_seconds(connection))
        except BaseException as error:
            if connection.commits_since is not None and not self._closed:
                self.commits.unanswered()
            self._failed(connection, "broken")
            if not errors.of_database(error):
                raise
        else:
            self.give_back(connection)

    def _repair_seconds(self, connection: Connection) -> float:
        """For a commit until PostgreSQL has ended all but its wait for a standby, such as one for somebody's lock."""
        began_at, limit = connection.commits_since, self.options.statement_timeout
        if began_at is None or limit is None:
            return REPAIR_TIMEOUT_SECONDS
        return max(began_at + limit - monotonic(), 0.0) + REPAIR_TIMEOUT_SECONDS

    def _failed(self, connection: Connection, reason: str) -> None:
        """Whatever the error was, the connection cannot be trusted, and its place in the pool must not be lost."""
        if not self._closed:
            self._suspect_before = monotonic()
            self._discard(connection, reason)

    def _is_suspect(self, connection: Connection) -> bool:
        return connection.used_at < max(monotonic() - CHECK_AFTER_IDLE_SECONDS, self._suspect_before)

    def _expired(self, connection: Connection) -> str | None:
        if connection.generation != self._generation:
            return "expired"
        return "max_age" if monotonic() > connection.expires_at else None

    def _discard(self, connection: Connection, reason: str) -> None:
        if connection not in self._all:
            return  # the pool was closed while it was lent
        self._all.discard(connection)
        self.metrics.closed(reason)
        if reason in ("lost", "broken"):
            connection.terminate()
            self._grow()
        else:
            self._closing += 1
            self._background.spawn("pool_close", self._close_one, connection)

    async def _close_one(self, connection: Connection) -> None:
        try:
            await connection.end(CLOSE_TIMEOUT_SECONDS)
        finally:
            self._closing -= 1
            self._grow()

    async def _maintain(self) -> None:
        """Shrink to the minimum, replace what is too old or was lost, and grow back to the minimum."""
        for connection in list(self._idle):
            reason = "lost" if connection.is_closed() else self._expired(connection) or self._surplus(connection)
            if reason:
                self._idle.remove(connection)
                self._discard(connection, reason)
        self._grow()

    def _surplus(self, connection: Connection) -> str | None:
        unused = monotonic() - connection.used_at > self.options.max_idle
        return "max_idle" if unused and len(self._all) > self.options.minimum else None
