"""Indexes that are built and dropped while everybody reads and writes, for migrations.

Each call is one step that can be repeated: PostgreSQL leaves an invalid index behind when a concurrent build is
interrupted, and the migration that comes back to it has to clear that away first.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tortoise import BaseDBAsyncClient

from service.database.pool import Connection

_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1) AND indrelid = to_regclass($2)"
"""Of the table's own index: one of the name may belong to a table of somebody else's."""


async def build_index(db: BaseDBAsyncClient, name: str, on: str) -> None:
    """CREATE INDEX CONCURRENTLY `name` ON `on`, which begins with a table, unless it is there and valid."""
    async with _outside_transactions(db) as connection:
        valid = await connection.fetchval(_VALID, name, on.partition("(")[0].strip())
        if valid is False:
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if not valid:
            await connection.execute(f"CREATE INDEX CONCURRENTLY {name} ON {on}")


async def drop_index(db: BaseDBAsyncClient, name: str) -> None:
    async with _outside_transactions(db) as connection:
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@asynccontextmanager
async def _outside_transactions(db: BaseDBAsyncClient) -> AsyncIterator[Connection]:
    """A connection of its own: Aerich runs every downgrade inside a transaction, where CONCURRENTLY is not allowed.

    It waits for locks without a limit: waiting blocks no reader or writer, and giving up would throw the build away.
    """
    client = getattr(db, "_parent", db)
    async with client.acquire_connection() as connection:
        await connection.execute("SET lock_timeout = 0")
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute("RESET lock_timeout")
