"""What do the indexes behind the orders by due time and by priority cost a write? `make index-cost` prints a table.

Copies of one database, with both indexes, with one and with none, run the service's own statements in turn, some dozens
at a time, so that a slow moment of the machine hits all of them alike. Commits do not wait for the disk, which would
hide everything else.
"""

import asyncio
import os
import random
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from uuid import UUID

from loadtests.database import connect
from loadtests.started import migrate
from service.database.connection import Connection
from service.database.embedded import EmbeddedPostgres, embedded_postgres
from service.database.pool import Statement
from service.database.postgres_programs import without_libpq
from service.database.session import PLANNER
from service.identifiers import uuid7
from service.tasks.fields import SETTABLE
from service.tasks.store import CHANGE, INSERT, TOGGLE

TASKS = int(os.environ.get("TASKS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "100"))
USERS = 1000
BLOCK = 50
TASKS_MAX = 100_000_000
NAMES = ("tasks_by_due", "tasks_by_priority")
DROPPED = {"both": (), "due alone": NAMES[1:], "priority alone": NAMES[:1], "none": NAMES}
OPTIONS = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",  # the WAL of a statement, not of the first one after a checkpoint
}
PLANNED = {"due_on": "2026-11-30", "priority": 3}
NEW = [field.name for field in SETTABLE if field.name != "completed"]

FILL_USERS = """
    INSERT INTO users (id, email, password_hash)
    SELECT gen_random_uuid(), n || '@example.com', '' FROM generate_series(1, $1::int) n"""
FILL = """
    INSERT INTO tasks (id, user_id, title, completed, due_on, priority, clocked)
    SELECT gen_random_uuid(), users[1 + n % cardinality(users)], 'task ' || md5(n::text), n % 10 = 0,
        CASE n % 2 WHEN 1 THEN '2026-01-01'::date + n % 1000 END, n % 5, true
    FROM generate_series(1, $1::int) n, (SELECT array_agg(id) AS users FROM users) u"""

Arguments = tuple[object, ...]


@dataclass
class Measured:
    """Of one statement in one copy, for each block: microseconds of a statement, and bytes of WAL."""

    round_trip: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    wal: list[float] = field(default_factory=list)


class Copy:
    def __init__(self, connection: Connection, pid: int) -> None:
        self._connection = connection
        self._pid = pid

    async def run(self, statement: Statement, block: list[Arguments], measured: Measured) -> None:
        wal, processor, began_at = await self._wal(), self._processor(), perf_counter()
        for arguments in block:
            if await self._connection.fetchrow(statement.sql, *arguments) is None:
                sys.exit(f"{statement.operation} has changed nothing")
        measured.round_trip.append((perf_counter() - began_at) / len(block) * 1e6)
        measured.processor.append((self._processor() - processor) / len(block) / 1000)
        measured.wal.append((await self._wal() - wal) / len(block))

    async def _wal(self) -> int:
        return int(await self._connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def _processor(self) -> int:
        """Nanoseconds that the server's process has had (Linux)."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0])

    async def close(self) -> None:
        await self._connection.close()


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="tasks-index-cost-") as folder,
        embedded_postgres(Path(folder) / "data", OPTIONS) as server,
    ):
        server.create_database("tasks")
        migrate(
            {
                **without_libpq(os.environ),
                "DATABASE_URL": server.url(),
                "JWT_SECRET": secrets.token_urlsafe(48),
            }
        )
        asyncio.run(_run(server))
    return 0


async def _run(server: EmbeddedPostgres) -> None:
    tasks = await _fill(server.url())
    copies = {name: await _copy(server, name, dropped) for name, dropped in DROPPED.items()}
    measured: dict[tuple[str, str], Measured] = {}
    for number in range(ROUNDS):
        for what, statement, block in _blocks(tasks):
            names = list(copies)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                await copies[name].run(statement, block, measured.setdefault((what, name), Measured()))
    for copy in copies.values():
        await copy.close()
    _report(measured)


async def _fill(url: str) -> list[tuple[UUID, UUID]]:
    """Returns tasks and their users."""
    connection = await connect(url)
    await connection.execute(FILL_USERS, USERS)
    await connection.execute(FILL, TASKS)
    await connection.execute("VACUUM ANALYZE")
    rows = await connection.fetch("SELECT id, user_id FROM tasks ORDER BY random() LIMIT 100000")
    for name in NAMES:
        size = await connection.fetchval("SELECT pg_relation_size($1::text::regclass)", name)
        _say(f"{name}: {size / 1e6:.0f} MB for {TASKS:,} tasks")
    await connection.close()
    return [(UUID(int=row["id"].int), UUID(int=row["user_id"].int)) for row in rows]


async def _copy(server: EmbeddedPostgres, name: str, dropped: tuple[str, ...]) -> Copy:
    database = f"with_{name.replace(' ', '_')}"
    main = await connect(server.url("postgres"))
    await main.execute(f"CREATE DATABASE {database} TEMPLATE tasks STRATEGY file_copy")
    await main.close()
    connection = await connect(server.url(database), PLANNER, name="tasks-service")
    for index in dropped:
        await connection.execute(f"DROP INDEX {index}")
    return Copy(connection, await connection.fetchval("SELECT pg_backend_pid()"))


def _blocks(tasks: list[tuple[UUID, UUID]]) -> Iterator[tuple[str, Statement, list[Arguments]]]:
    """The same for each copy."""
    chosen = random.sample(tasks, BLOCK)
    users = [user_id for _, user_id in chosen]
    yield "create", INSERT, [(uuid7(), user, TASKS_MAX, *_new({"title": "buy milk"})) for user in users]
    planned = _new({"title": "buy milk", **PLANNED})
    yield "create, with due day and priority", INSERT, [(uuid7(), user, TASKS_MAX, *planned) for user in users]
    yield "toggle", TOGGLE, [(*task, None, None) for task in chosen]
    yield "change of due day and priority", CHANGE, [(*task, None, None, *_changed()) for task in chosen]


def _new(values: dict[str, object]) -> list[object]:
    return [values.get(name) for name in NEW]


def _changed() -> list[object]:
    day = f"2026-12-{random.randint(1, 31):02}"  # noqa: S311  load, no secret
    values: dict[str, object] = {"due_on": day, "due_at": None, "priority": random.randint(0, 4)}  # noqa: S311  load, no secret
    mask = sum(1 << bit for bit, field in enumerate(SETTABLE) if field.name in values)
    return [mask, *(values.get(field.name) for field in SETTABLE)]


def _report(measured: dict[tuple[str, str], Measured]) -> None:
    _say(
        f"\nmedians of {ROUNDS} times {BLOCK} statements: µs at the client, µs of PostgreSQL's processor, bytes of WAL"
    )
    _say("| statement | " + " | ".join(f"indexes: {name}" for name in DROPPED) + " |")
    _say("|---" * (len(DROPPED) + 1) + "|")
    for what in dict.fromkeys(what for what, _ in measured):
        cells = []
        for name in DROPPED:
            found = measured[what, name]
            times = (statistics.median(found.round_trip), statistics.median(found.processor))
            cells.append(f"{times[0]:.0f}, {times[1]:.0f}, {statistics.median(found.wal):.0f}")
        _say(f"| {what} | " + " | ".join(cells) + " |")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what it is run for


if __name__ == "__main__":
    sys.exit(main())
