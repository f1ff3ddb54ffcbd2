"""The revisions of the schema: those that this build has, those that a database has, and what follows from both."""

from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import structlog

from service.database.orm import APP, migration_options
from service.database.session import FORMATS
from service.database.start import connect, told_in_a_sentence
from service.database.url import DatabaseUrl

log = structlog.get_logger()

_PACKAGE = Path(__file__).resolve().parents[1]
_IN_WHEEL = _PACKAGE / "migrations"
MIGRATIONS = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "migrations"


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


def doomed(applied: tuple[Revision, ...], to: int | None) -> list[Revision]:
    """What a downgrade undoes: the revisions that were applied last, last one first. Raises MigrationError."""
    if to is None:
        return list(applied[-1:])
    numbers = [r.number for r in applied]
    if to and to not in numbers:
        raise MigrationError(f"Revision {to} is not applied; applied are {numbers}.")
    found = [r for r in applied if r.number > to]
    if found and found != list(applied[-len(found) :]):
        raise MigrationError(f"The revisions were applied in the order {numbers}: undo the last ones one at a time.")
    return found[::-1]


def warn_ahead(found: SchemaState) -> None:
    if found.ahead:
        log.warning("schema_ahead", files=[r.file for r in found.ahead])
