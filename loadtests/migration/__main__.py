"""How long does a migration of many tasks take, and what do clients of the old release notice? `make migration`.

Fills the schema of revision FROM (10) with TASKS (1,000,000), starts the old release on it, and migrates to this one's
schema while clients read and write. Fails when a request fails, when the reads' p99 passes what is promised, or when
the tasks are counted wrongly in the end.
"""

import asyncio
import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic

from loadtests.database import connect
from loadtests.migration.clients import Answer, Clients
from loadtests.migration.old_release import fill, unpack
from loadtests.rest import sign_up
from loadtests.started import ROOT, SERVICE, migrate, served, server_options
from service.database.embedded import embedded_postgres
from service.database.postgres_programs import without_libpq

TASKS = int(os.environ.get("TASKS", "1000000"))
FROM = int(os.environ.get("FROM", "10"))
OLDEST = 10
QUIET_SECONDS = float(os.environ.get("QUIET_SECONDS", "10"))
USERS = 3
READS_P99_MAX_SECONDS = 1.0
THRESHOLD_CROSSED = 99
SHOWN = 5

Revisions = list[tuple[float, str]]


def main() -> int:
    if FROM < OLDEST or TASKS < 1:
        sys.exit(f"FROM is a revision from {OLDEST}, and TASKS are at least 1")
    with (
        tempfile.TemporaryDirectory(prefix="tasks-migration-") as folder,
        embedded_postgres(Path(folder) / "data", server_options(os.environ)) as server,
    ):
        server.create_database("tasks")
        settings = {
            **without_libpq(os.environ),
            "DATABASE_URL": server.url(),
            "JWT_SECRET": secrets.token_urlsafe(48),
            "JWT_ACCESS_TTL_SECONDS": "36000",
        }
        migrate(settings)
        migrate(settings, "downgrade", "--to", str(FROM))
        old = unpack(Path(folder) / "old")
        with served({**settings, "PYTHONPATH": str(old)}, root=old) as service:
            return asyncio.run(_run(service.url, server.url(), settings))


async def _run(url: str, database_url: str, settings: dict[str, str]) -> int:
    accounts = await sign_up(url, "migrating", USERS)
    filled = monotonic()
    await fill(database_url, TASKS)
    _say(f"{TASKS:,} tasks in revision {FROM}, filled within {monotonic() - filled:.0f} s")
    clients = Clients(url, accounts)
    running = asyncio.create_task(clients.run())
    await asyncio.sleep(QUIET_SECONDS)
    began_at = monotonic()
    revisions = await _migrate(database_url, settings)
    ended_at = monotonic()
    await asyncio.sleep(QUIET_SECONDS)
    clients.over = True
    await running
    for (since, _), (at, name) in zip([(began_at, ""), *revisions], revisions, strict=False):
        _say(f"{name}: {at - since:.2f} s")
    _say(f"migration: {ended_at - began_at:.2f} s from start to exit")
    counted = await _counted(database_url)
    return _judge(clients.answers, began_at, ended_at, counted=counted)


async def _migrate(database_url: str, settings: dict[str, str]) -> Revisions:
    """When each revision was there, to some hundredths of a second. Ends the program when the migration fails."""
    seen: Revisions = []
    watching = asyncio.create_task(_watch(database_url, seen))
    process = await asyncio.create_subprocess_exec(
        *SERVICE, "migrate", "upgrade", cwd=ROOT, env=settings, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    await asyncio.sleep(0.2)  # for the last one to be seen
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    if process.returncode:
        sys.exit(f"the migration failed: {output.decode()}")
    return seen


async def _watch(database_url: str, seen: Revisions) -> None:
    connection = await connect(database_url)
    known = {row["version"] for row in await connection.fetch("SELECT version FROM aerich")}
    while True:
        for row in await connection.fetch("SELECT version FROM aerich ORDER BY id"):
            if row["version"] not in known:
                known.add(row["version"])
                seen.append((monotonic(), row["version"]))
        await asyncio.sleep(0.02)


async def _counted(database_url: str) -> bool:
    """Whether every user's tasks are counted rightly, with what was written during the migration."""
    connection = await connect(database_url)
    wrong = await connection.fetchval(
        "SELECT count(*) FROM users LEFT JOIN (SELECT user_id, count(*) AS n FROM tasks GROUP BY user_id) AS counted"
        " ON users.id = user_id WHERE tasks_count IS DISTINCT FROM coalesce(n, 0)"
    )
    await connection.close()
    return bool(wrong == 0)


def _judge(answers: list[Answer], began_at: float, ended_at: float, *, counted: bool) -> int:
    phases = {
        "before": [answer for answer in answers if answer.began_at < began_at],
        "during": [answer for answer in answers if began_at <= answer.began_at < ended_at],
        "after": [answer for answer in answers if answer.began_at >= ended_at],
    }
    for when, some in phases.items():
        for what, writes in (("reads", False), ("writes", True)):
            _say(_times(f"{what} {when}", [answer.seconds for answer in some if answer.writes is writes]))
    failures = [answer.failure for answer in answers if answer.failure]
    reads = [answer.seconds for answer in phases["during"] if not answer.writes]
    verdicts = {
        f"reads during the migration: p(99)<{READS_P99_MAX_SECONDS:g} s": _quantile(reads, 99) < READS_P99_MAX_SECONDS,
        f"failed: count==0 ({len(failures)} of {len(answers)})": not failures,
        "every user's tasks are counted": counted,
    }
    for name, ok in verdicts.items():
        _say(f"{'passed' if ok else 'FAILED'}  {name}")
    for failure in failures[:SHOWN]:
        _say(failure)
    return 0 if all(verdicts.values()) else THRESHOLD_CROSSED


def _times(name: str, seconds: list[float]) -> str:
    figures = ", ".join(f"p{percent} {_quantile(seconds, percent) * 1000:.1f}" for percent in (50, 95, 99))
    return f"{name}: {figures}, max {max(seconds, default=float('nan')) * 1000:.1f} ms of {len(seconds)}"


def _quantile(seconds: Iterable[float], percent: int) -> float:
    values = list(seconds)
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else float("nan")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  what it is run for


if __name__ == "__main__":
    sys.exit(main())
