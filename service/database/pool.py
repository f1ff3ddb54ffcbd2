"""The pool: statements, transactions and leases on a bounded set of connections, of which no caller can lose any.

It lends bare asyncpg connections. What `asyncpg.Pool` would add is either not needed (proxies, a reset statement at
each release: nothing here leaves session state behind) or missing there (recycling by age, a minimum that is kept, the
repair of a connection whose caller was cancelled in mid-statement). The ORM and the fixed statements use it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from types import TracebackType
from typing import Protocol

import asyncpg

from service.background import Background
from service.database import errors
from service.database.connection import Connection, PoolOptions
from service.database.lender import Lender
from service.database.read_batches import ReadBatches
from service.database.statement import Statement
from service.deadlines import waited
from service.problems import PoolExhausted
from service.telemetry.metrics import DatabaseMetrics
from service.telemetry.timing import spent

__all__ = ["Connection", "Executor", "Lease", "Pool", "PoolOptions", "Statement", "Transaction"]

RETRIES = 2
RETRY_JITTER_SECONDS = 0.05
MINIMUM_TIMEOUT_SECONDS = 0.1
"""What a statement gets at the least, however late it starts."""


class Executor(Protocol):
    """Where a statement can be run: the pool, each in a transaction of its own, or one open transaction."""

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]: ...

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None: ...

    def transaction(self) -> AbstractAsyncContextManager["Transaction"]:
        """One transaction for the whole block: a new one of the pool's, or the one that is open already."""


class Pool(Lender):
    def __init__(self, options: PoolOptions, metrics: DatabaseMetrics, background: Background) -> None:
        super().__init__(options, metrics, background)
        self._batches = ReadBatches(self, background, metrics)

    def waiting(self) -> int:
        return super().waiting() + self._batches.waiting

    async def close(self) -> None:
        await super().close()
        self._batches.dismiss_all()

    def lease(self) -> "Lease":
        return Lease(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """A transaction that ends with the block: committed, or rolled back on any exception.

        Each of its statements sees what was committed before it began, whatever the database's default isolation: what
        is read under a lock is then no older than the lock.

        Raises a `Problem` for every fault of the database, and the driver's error for a constraint. Nobody waits for
        the rollback: a task of the pool does it before the connection is lent again.
        """
        try:
            with self.commits.attempt() as attempt:
                async with self.lease() as connection:
                    transaction = connection.transaction(isolation="read_committed")
                    await transaction.start()
                    inside = Transaction(connection, self)
                    yield inside
                    connection.commits_since = monotonic()
                    attempt.sent = True
                    await transaction.commit()
                attempt.wrote = inside.wrote
        except Exception as error:
            if (problem := errors.translate(error)) is not None and problem is not error:
                raise problem from error
            raise

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]:
        """Run one statement in a transaction of its own and return its rows.

        Raises a `Problem` for every fault of the database, and the driver's error for a constraint.
        """
        limit = self.options.statement_timeout
        deadline = None if limit is None else monotonic() + limit - waited()
        if statement.many is None:
            return await self._fetch_alone(statement, args, deadline)
        kind = self._batches.kind(statement)
        if kind.begin_alone():
            try:
                rows = await self._fetch_alone(statement, args, deadline)
                kind.weigh(rows)
            finally:
                kind.end_alone()
            return rows
        asked_at = monotonic()
        try:
            outcome = await kind.join(args, self.options.acquire_timeout - waited(), deadline)
        except PoolExhausted:
            self.metrics.acquire_timeouts.inc()
            self.record_wait(monotonic() - asked_at)
            raise
        self.record_wait(outcome.waited_seconds)
        spent("db", statement.operation, outcome.statement_seconds)
        if outcome.rows is not None:
            return outcome.rows
        return await self._fetch_alone(statement, args, deadline)

    async def _fetch_alone(
        self, statement: Statement, args: Sequence[object], deadline: float | None
    ) -> list[asyncpg.Record]:
        for attempt in range(RETRIES + 1):
            try:
                return await self._run(statement, args, deadline)
            except Exception as error:
                if attempt == RETRIES or not _may_repeat(statement, error):
                    if (problem := errors.translate(error)) is not None and problem is not error:
                        raise problem from error
                    raise
            await asyncio.sleep(random.uniform(0, RETRY_JITTER_SECONDS) * attempt)  # noqa: S311  jitter
        raise AssertionError("unreachable")

    async def _run(self, statement: Statement, args: Sequence[object], deadline: float | None) -> list[asyncpg.Record]:
        if statement.reads:
            connection = await self.acquire()
            return await self.run_on(connection, statement.operation, statement.sql, args, deadline)
        with self.commits.attempt() as attempt:
            connection = await self.acquire()
            connection.commits_since = monotonic()
            attempt.sent = True
            rows = await self.run_on(connection, statement.operation, statement.sql, args, deadline)
            attempt.wrote = bool(rows)  # without rows it may have had nothing to commit
        return rows

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    async def run_on(
        self, connection: Connection, operation: str, sql: str, args: Sequence[object], deadline: float | None
    ) -> list[asyncpg.Record]:
        """Run a statement on a connection that was acquired for it, and give that back. Raises the driver's errors.

        `deadline` is the reading of `monotonic` by which it has to be over.
        """
        started_at = monotonic()
        failure: BaseException | None = None
        try:
            # The driver's own timer costs less than asyncio.timeout, and the wait for the connection counts too.
            timeout = None if deadline is None else max(deadline - started_at, MINIMUM_TIMEOUT_SECONDS)
            return await connection.fetch(sql, *args, timeout=timeout)  # type: ignore[no-any-return]  # asyncpg ships no types
        except BaseException as error:
            failure = error
            raise
        finally:
            self.give_back(connection, failure)
            self.observe(operation, monotonic() - started_at)


class Transaction:
    """Runs statements one after the other in one transaction. Raises the driver's errors as they are."""

    __slots__ = ("_connection", "_pool", "wrote")

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self._connection = connection
        self._pool = pool
        self.wrote = False
        """Whether a statement has surely written something; what the models write does not count."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """The one that is open: an error in the block ends all of it, since there is no savepoint to go back to."""
        yield self

    @asynccontextmanager
    async def lease(self, operation: str) -> AsyncIterator[Connection]:
        """Its connection for one statement, which is timed as `operation`."""
        started_at = monotonic()
        try:
            yield self._connection
        finally:
            self._pool.observe(operation, monotonic() - started_at)

    async def fetch(self, statement: Statement, *args: object) -> list[asyncpg.Record]:
        started_at = monotonic()
        try:
            rows: list[asyncpg.Record] = await self._connection.fetch(statement.sql, *args)
        finally:
            self._pool.observe(statement.operation, monotonic() - started_at)
        self.wrote = self.wrote or bool(rows and not statement.reads)
        return rows

    async def fetchrow(self, statement: Statement, *args: object) -> asyncpg.Record | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None


class Lease:
    """`async with pool.lease() as connection`: given back at the end of the block, whatever ended it.

    Wait and block together may last one statement timeout: then the block ends with TimeoutError.
    """

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._timeout = asyncio.timeout(self._pool.options.statement_timeout)
        await self._timeout.__aenter__()
        try:
            self._connection = await self._pool.acquire()
        except BaseException as error:
            await self._timeout.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.give_back(self._connection, error)
        await self._timeout.__aexit__(kind, error, trace)


def _may_repeat(statement: Statement, error: Exception) -> bool:
    if errors.sqlstate(error) in errors.NOTHING_DONE:
        return True
    return statement.reads and (errors.connection_lost(error) or isinstance(error, errors.STALE_PLAN))
