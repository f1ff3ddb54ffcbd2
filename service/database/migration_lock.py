"""One migration at a time: an advisory lock, and the one connection that both has it and does the work.

Neither lives on without the other. A connection that is cut takes the statement under way and its transaction with it,
and whoever gets the lock after that finds each revision either applied and recorded, or not at all. Two connections
could not promise that: the lock of an idle one is gone once a firewall or an administrator cuts it, while the other one
still works.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from prometheus_client import CollectorRegistry

from service.background import Background
from service.database import errors
from service.database.connection import Connection
from service.database.orm import MIGRATION_LOCK_TIMEOUT_MS, migration_options
from service.database.pool import Pool, Transaction
from service.database.revisions import MigrationError
from service.database.start import connect
from service.database.url import DatabaseUrl
from service.problems import Problem
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics

LOCK_KEY = 0x7461736B73  # "tasks"
LOCK_POLL_SECONDS = 0.2
LOCK_WAIT_SECONDS = 600.0
CLOSE_SECONDS = 1.0

_HAS_LOCK = """
    SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32) + objid::bigint = $1)"""


class LockLost(MigrationError):
    """The connection that had the lock is gone, or the lock never was this connection's alone."""


class LockedPool(Pool):
    """What the ORM takes its connection from: always the same one, and only while it has the lock."""

    def __init__(self, connection: Connection, database: DatabaseUrl) -> None:
        registry = CollectorRegistry()
        background = Background(BackgroundMetrics(registry))
        super().__init__(migration_options(database), DatabaseMetrics(registry), background)
        self.connection = connection
        self._lent = False

    async def acquire(self) -> Connection:
        """Raises LockLost, and MigrationError in a transaction."""
        if self._lent:
            raise MigrationError("A step outside of transactions needs RUN_IN_TRANSACTION = False in its file.")
        self._lent = True
        try:
            await self._require_lock()
        except BaseException:
            self._lent = False
            raise
        return self.connection

    def give_back(self, connection: Connection, error: BaseException | None = None) -> None:  # noqa: ARG002  a pool's
        self._lent = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Raises the driver's errors as they are."""
        async with self.lease() as connection, connection.transaction(isolation="read_committed"):
            await self._require_lock()  # inside, where no pooler can move us to another session
            yield Transaction(connection, self)

    async def _require_lock(self) -> None:
        if self.connection.is_closed() or not await self.connection.fetchval(_HAS_LOCK, LOCK_KEY):
            raise LockLost(
                "This connection no longer has the migrations' lock, or a pooler that shares its sessions stands in"
                " between: give migrations a direct DATABASE_URL."
            )


@asynccontextmanager
async def locked(database: DatabaseUrl) -> AsyncIterator[LockedPool]:
    """Wait for the lock, and have it until the block ends. Raises MigrationError.

    It is asked for again and again instead of waited for: a session that waits inside a statement holds a snapshot, and
    CREATE INDEX CONCURRENTLY in the process that has the lock would wait for that snapshot forever.
    """
    connection = await connect(migration_options(database))
    try:
        await _refuse_pooler(connection)
        deadline = monotonic() + LOCK_WAIT_SECONDS
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            if monotonic() > deadline:
                raise MigrationError(f"Another migration has had the lock for {LOCK_WAIT_SECONDS:.0f} s")
            await asyncio.sleep(LOCK_POLL_SECONDS)
        async with _ends_with(connection):
            yield LockedPool(connection, database)
    finally:
        await connection.end(CLOSE_SECONDS)


async def _refuse_pooler(connection: Connection) -> None:
    """One that was told to ignore what it does not know would let a migration wait for a table's lock without end."""
    if await connection.fetchval("SHOW lock_timeout") != f"{MIGRATION_LOCK_TIMEOUT_MS}ms":
        raise MigrationError(
            "A pooler keeps lock_timeout from the server: give migrations a DATABASE_URL that leads to it directly."
        )


@asynccontextmanager
async def _ends_with(connection: Connection) -> AsyncIterator[None]:
    """Raises LockLost for any error that the loss of the connection causes."""
    try:
        yield
    except MigrationError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, Problem) and error.__cause__ else errors.cause_of(error)
        if not (connection.is_closed() or errors.connection_lost(cause)):
            raise
        raise LockLost(
            "The connection that has the migrations' lock was lost, and nothing was done after that. What was under way"
            " is undone, or can be repeated: run this again."
        ) from error
