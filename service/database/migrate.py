"""Migrations: Aerich's files, applied exactly once however many processes try, and undone newest first."""

import asyncio
import random
import runpy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from tortoise import Tortoise
from tortoise.connection import get_connections

from service.database import errors, revisions
from service.database.migration_lock import LockedPool, locked
from service.database.orm import APP, CONNECTION, orm_config
from service.database.revisions import MigrationError, Revision, SchemaState, applied, files, warn_ahead
from service.database.start import told_in_a_sentence
from service.database.url import DatabaseUrl
from service.problems import DatabaseBusy

if TYPE_CHECKING:
    from aerich import Command

log = structlog.get_logger()

TABLE_LOCK_TRIES = 50
TABLE_LOCK_PAUSE_SECONDS = 0.3


@told_in_a_sentence()
async def upgrade(database: DatabaseUrl) -> list[str]:
    """Apply what the database lacks; returns the files that were applied by this call. Raises MigrationError."""
    async with locked(database) as pool, _aerich(pool) as command:
        found = SchemaState(files(), await applied(pool.connection))
        found.check()
        warn_ahead(found)
        if found.pending:
            log.info("migration_upgrade", files=[r.file for r in found.pending])
            await _retry_while_locked(command.upgrade)
        return [r.file for r in await applied(pool.connection) if r not in found.applied]


@told_in_a_sentence()
async def downgrade(database: DatabaseUrl, to: int | None) -> list[str]:
    """Undo the last revision, or all above number `to`, newest first. Raises MigrationError.

    After a failure the database stands at the last revision undone.
    """
    async with locked(database) as pool, _aerich(pool) as command:
        found = SchemaState(files(), await applied(pool.connection))
        found.check()
        if found.ahead:
            raise MigrationError(f"Only a build that has {found.ahead[-1].file} can undo it. Run its downgrade first.")
        doomed = revisions.doomed(found.applied, to)
        log.info("migration_downgrade_plan", files=[r.file for r in doomed])
        for revision in doomed:
            log.info("migration_downgrade", file=revision.file)
            await _undo(command, revision)
        return [r.file for r in doomed]


async def _undo(command: "Command", revision: Revision) -> None:
    """The revision that was applied last, in a transaction if its file asks for one.

    Aerich would undo each in a transaction, where CONCURRENTLY is not allowed.
    """
    module = runpy.run_path(str(revisions.MIGRATIONS / APP / revision.file))
    if module.get("RUN_IN_TRANSACTION", True):
        await _retry_while_locked(lambda: command.downgrade(version=-1, delete=False))
        return
    from aerich.models import Aerich  # noqa: PLC0415  as below

    async def undo() -> None:
        client = get_connections().get(CONNECTION)
        await client.execute_script(await module["downgrade"](client))
        await Aerich.filter(version=revision.file, app=APP).delete()

    await _retry_while_locked(undo)


@asynccontextmanager
async def _aerich(pool: LockedPool) -> AsyncIterator["Command"]:
    from aerich import Command  # noqa: PLC0415  the server only wants the names of the files, and less memory

    config = orm_config(lambda: pool, migrates=True)
    command = Command(tortoise_config=config, app=APP, location=str(revisions.MIGRATIONS))
    try:
        await _retry_while_locked(command.init)
        yield command
    finally:
        await Tortoise.close_connections()


async def _retry_while_locked(step: Callable[[], Awaitable[object]]) -> None:
    """Run a step, again up to 49 times when a table lock is refused, with 0.15 to 0.45 s for the others in between.

    Raises MigrationError when it never got the lock.
    """
    for attempt in range(1, TABLE_LOCK_TRIES + 1):
        try:
            await step()
        except Exception as error:
            if not isinstance(errors.translate(error), DatabaseBusy):
                raise
            if attempt == TABLE_LOCK_TRIES:
                raise MigrationError(
                    f"The table is in use: no lock in {attempt} attempts. Look for a long transaction in"
                    " pg_stat_activity, and run this again."
                ) from error
            log.info("migration_lock_busy", attempt=attempt)
            await asyncio.sleep(TABLE_LOCK_PAUSE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  jitter
        else:
            return
