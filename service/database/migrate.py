"""Migrations: Aerich's files, applied exactly once however many processes try, and undone newest first."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from tortoise import Tortoise

from service.database import errors
from service.database.orm import APP, migration_config, migration_options, orm_config
from service.database.pool import Pool
from service.database.session import FORMATS
from service.database.start import connect, told_in_a_sentence
from service.database.url import DatabaseUrl
from service.problems import DatabaseBusy

if TYPE_CHECKING:
    from aerich import Command

log = structlog.get_logger()

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
LOCK_KEY = 0x7461736B73  # "tasks"
LOCK_POLL_SECONDS = 0.2
LOCK_WAIT_SECONDS = 600.0
TABLE_LOCK_TRIES = 50
TABLE_LOCK_PAUSE_SECONDS = 0.3


class MigrationError(Exception):
    """The migrations cannot be run as asked; the text says what to do."""


@dataclass(frozen=True, order=True, slots=True)
class Revision:
    number: int
    file: str

    @classmethod
    def of(cls, file: str) -> "Revision":
        """Raises MigrationError for what some other program has written into a table of that name."""
        number = file.partition("_")[0]
        if not (number.isascii() and number.isdigit()):
            raise MigrationError(f"The table aerich holds {file!r}, which is no revision of this service.")
        return cls(int(number), file)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What this build has, by number, and what the database has, as it was applied."""

    expected: tuple[Revision, ...]
    applied: tuple[Revision, ...]

    @property
    def pending(self) -> list[Revision]:
        return [r for r in self.expected if r not in self.applied]

    @property
    def ahead(self) -> list[Revision]:
        return [r for r in self.applied if r not in self.expected]

    @property
    def applied_number(self) -> int:
        return max((r.number for r in self.applied), default=0)

    @property
    def expected_number(self) -> int:
        return max((r.number for r in self.expected), default=0)

    def check(self) -> None:
        """Raises MigrationError when files or database contradict themselves or each other."""
        by_number: dict[int, str] = {}
        for revision in self.expected:
            other = by_number.setdefault(revision.number, revision.file)
            if other != revision.file:
                raise MigrationError(
                    f"Two files have the number {revision.number}: {other} and {revision.file}."
                    " Renumber the younger one."
                )
        for revision in self.ahead:
            if (file := by_number.get(revision.number)) is not None:
                raise MigrationError(
                    f"The database holds revision {revision.file}, this build has {file} under the same number."
                    " They come from different branches; neither upgrade nor downgrade can be trusted."
                )
            if revision.number < self.expected_number:
                raise MigrationError(
                    f"The database holds revision {revision.file}, which this build lacks although it has later ones."
                )


def files(directory: Path | None = None) -> tuple[Revision, ...]:
    names = (path.name for path in ((directory or MIGRATIONS) / APP).glob("[0-9]*_*.py"))
    return tuple(sorted(Revision.of(name) for name in names))


async def applied(connection: asyncpg.Connection) -> tuple[Revision, ...]:
    """In the order in which they were applied."""
    if await connection.fetchval("SELECT to_regclass('aerich')") is None:
        return ()
    rows = await connection.fetch("SELECT version FROM aerich WHERE app = $1 ORDER BY id", APP)
    return tuple(Revision.of(row["version"]) for row in rows)


async def state(database: DatabaseUrl) -> SchemaState:
    """Raises MigrationError on a contradiction, DatabaseFault when the database cannot be asked."""
    # A pooler lets these through, so that one can ask whichever way one comes.
    options = replace(migration_options(database), server_settings=FORMATS)
    connection = await connect(options)
    try:
        return await state_of(connection)
    finally:
        await connection.end(1)


async def state_of(connection: asyncpg.Connection) -> SchemaState:
    """Raises MigrationError on a contradiction, DatabaseFault when the database cannot be asked."""
    async with told_in_a_sentence():
        found = SchemaState(files(), await applied(connection))
    found.check()
    return found


@told_in_a_sentence()
async def upgrade(database: DatabaseUrl) -> list[str]:
    """Apply what the database lacks; returns the files that were applied by this call. Raises MigrationError."""
    async with _locked(database) as connection, _aerich() as command:
        found = SchemaState(files(), await applied(connection))
        found.check()
        warn_ahead(found)
        if found.pending:
            log.info("migration_upgrade", files=[r.file for r in found.pending])
            await _patiently(command.upgrade)
        return [r.file for r in await applied(connection) if r not in found.applied]


@told_in_a_sentence()
async def downgrade(database: DatabaseUrl, to: int | None) -> list[str]:
    """Undo the last revision, or all above number `to`, newest first. Raises MigrationError.

    Each revision is undone in a transaction of its own: after a failure the database stands at the last one undone.
    """
    async with _locked(database) as connection, _aerich() as command:
        found = SchemaState(files(), await applied(connection))
        found.check()
        if found.ahead:
            raise MigrationError(f"Only a build that has {found.ahead[-1].file} can undo it. Run its downgrade first.")
        doomed = _doomed(found.applied, to)
        log.info("migration_downgrade_plan", files=[r.file for r in doomed])
        for revision in doomed:
            log.info("migration_downgrade", file=revision.file)
            await _patiently(lambda: command.downgrade(version=-1, delete=False))
        return [r.file for r in doomed]


def _doomed(applied: tuple[Revision, ...], to: int | None) -> list[Revision]:
    """What a downgrade undoes: the revisions that were applied last, last one first. Raises MigrationError."""
    if to is None:
        return list(applied[-1:])
    numbers = [r.number for r in applied]
    if to and to not in numbers:
        raise MigrationError(f"Revision {to} is not applied; applied are {numbers}.")
    doomed = [r for r in applied if r.number > to]
    if doomed and doomed != list(applied[-len(doomed) :]):
        raise MigrationError(f"The revisions were applied in the order {numbers}: undo the last ones one at a time.")
    return doomed[::-1]


def warn_ahead(found: SchemaState) -> None:
    if found.ahead:
        log.warning("schema_ahead", files=[r.file for r in found.ahead])


@asynccontextmanager
async def _locked(database: DatabaseUrl) -> AsyncIterator[asyncpg.Connection]:
    """One migration at a time, by an advisory lock that dies with its connection.

    It is asked for again and again instead of waited for: a session that waits inside a statement holds a snapshot, and
    CREATE INDEX CONCURRENTLY in the process that has the lock would wait for that snapshot forever.
    """
    connection = await connect(migration_options(database))
    try:
        deadline = monotonic() + LOCK_WAIT_SECONDS
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            if monotonic() > deadline:
                raise MigrationError(f"Another migration has held the lock for {LOCK_WAIT_SECONDS:.0f} s")
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield connection
    finally:
        await connection.close(timeout=1)


@asynccontextmanager
async def _aerich() -> AsyncIterator["Command"]:
    from aerich import Command  # noqa: PLC0415  the server only wants the names of the files, and less memory

    command = Command(tortoise_config=migration_config(), app=APP, location=str(MIGRATIONS))
    try:
        await _patiently(command.init)
        yield command
    finally:
        await Tortoise.close_connections()


async def _patiently(step: Callable[[], Awaitable[object]]) -> None:
    """Run a step whose table lock may be refused: it lets the others pass and comes back, a bounded number of times.

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


def drift() -> str:
    """What Aerich would write into a new migration, "" when models and migrations agree. Needs no database."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "migrations"
        shutil.copytree(MIGRATIONS / APP, copy / APP)
        known = files(copy)
        asyncio.run(_migrate_offline(copy))
        return "\n".join((copy / APP / r.file).read_text() for r in files(copy) if r not in known)


async def _migrate_offline(location: Path) -> None:
    from aerich import Command  # noqa: PLC0415  as above

    unreachable: dict[str, Any] = orm_config(_no_database, migrates=True)
    command = Command(tortoise_config=unreachable, app=APP, location=str(location))
    await command.init(offline=True)
    await command.migrate("drift", no_input=True, offline=True)


def _no_database() -> Pool:
    raise MigrationError("Comparing models with migrations needs no database, yet something asked for it")
