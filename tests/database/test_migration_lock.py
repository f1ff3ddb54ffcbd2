"""The lock of migrations and the work under it live and die together, whoever cuts the connection and when."""

import asyncio
import random
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from service.database import revisions
from service.database.migration_lock import LockLost, locked
from service.database.pool import Statement
from service.database.url import parse_database_url
from tests.support.database import Database, held
from tests.support.drill import eventually, pick
from tests.support.migrations import Migrations
from tests.support.postgres import postgres

FILES = [r.file for r in revisions.files()]
LEDGER = "CREATE TABLE ledger (revision int)"
SLOW = """
RUN_IN_TRANSACTION = {transaction}

async def upgrade(db):
    return "INSERT INTO ledger VALUES ({number}); SELECT pg_sleep(1)"

async def downgrade(db):
    return "DELETE FROM ledger WHERE revision = {number}; SELECT pg_sleep(1)"
"""
WAITS = """
import asyncio
from pathlib import Path

async def upgrade(db):
    Path({flag!r}).touch()
    while Path({flag!r}).exists():
        await asyncio.sleep(0.01)
    return "INSERT INTO ledger VALUES (91)"

async def downgrade(db):
    return "DELETE FROM ledger WHERE revision = 91"
"""
BUILD = """
from service.database.indexes import build_index, drop_index

RUN_IN_TRANSACTION = False

async def upgrade(db):
    await build_index(db, "tasks_for_a_test", "tasks (title)")
    return "SELECT 'built'"

async def downgrade(db):
    await drop_index(db, "tasks_for_a_test")
    return "SELECT 'dropped'"
"""
VALID = "SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass('tasks_for_a_test')"
BUILDING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasks-migrate' AND query LIKE 'CREATE INDEX%'"
    " AND wait_event_type = 'Lock' AND datname = current_database()"
)
SLOW_FILES = {f"{n}_20300101000000_slow.py": SLOW.format(number=n, transaction=True) for n in (90, 91, 92)}
IN_PROGRESS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasks-migrate' AND query LIKE '%pg_sleep%'"
    " AND state = 'active' AND datname = current_database()"
)
CUT_THE_LOCK = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _applied(database: Database) -> list[str]:
    return [row["version"] for row in database.query("SELECT version FROM aerich ORDER BY id")]


def _ledger(database: Database) -> list[int]:
    return [row["revision"] for row in database.query("SELECT revision FROM ledger ORDER BY revision")]


def test_who_loses_the_lock_in_the_middle_of_a_run_ends_it_and_the_next_goes_on(
    fresh_database: Database, tmp_path: Path
) -> None:
    fresh_database.query(LEDGER)
    migrations = Migrations(tmp_path / "migrations", SLOW_FILES)
    first, second = migrations.start(fresh_database, "upgrade"), migrations.start(fresh_database, "upgrade")
    eventually(lambda: fresh_database.value(IN_PROGRESS), within_seconds=60)
    assert fresh_database.query(CUT_THE_LOCK)
    outputs = [process.communicate(timeout=100)[0] for process in (first, second)]
    assert sorted([first.returncode, second.returncode]) == [0, 1], outputs
    (loser,) = [o for p, o in zip((first, second), outputs, strict=True) if p.returncode]
    assert "The connection that has the migrations' lock was lost" in loser
    assert "Traceback" not in loser
    assert _ledger(fresh_database) == [90, 91, 92]
    assert _applied(fresh_database) == [*FILES, *SLOW_FILES]


def test_a_lock_lost_between_two_revisions_ends_the_run_before_the_next(
    fresh_database: Database, tmp_path: Path
) -> None:
    """Whatever the pieces between them do: here a file that takes its time before it asks for anything."""
    fresh_database.query(LEDGER)
    flag = tmp_path / "waits"
    first, later = "90_20300101000000_first.py", "91_20300101000000_waits.py"
    texts = {first: SLOW.format(number=90, transaction=True), later: WAITS.format(flag=str(flag))}
    migrations = Migrations(tmp_path / "migrations", texts)
    process = migrations.start(fresh_database, "upgrade")
    eventually(flag.exists, within_seconds=60)
    assert fresh_database.query(CUT_THE_LOCK)
    flag.unlink()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The connection that has the migrations' lock was lost" in output
    assert (_ledger(fresh_database), _applied(fresh_database)) == ([90], [*FILES, first])


@pytest.mark.drill
def test_locks_that_are_cut_again_and_again_never_make_a_revision_run_twice(
    fresh_database: Database, tmp_path: Path
) -> None:
    fresh_database.query(LEDGER)
    rounds = pick(3, 20)
    texts = {f"{n}_20300101000000_slow.py": SLOW.format(number=n, transaction=True) for n in range(90, 90 + rounds)}
    migrations = Migrations(tmp_path / "migrations", texts)
    running: list[subprocess.Popen[str]] = []
    outputs: list[str] = []
    while len(_ledger(fresh_database)) < rounds:
        outputs += [p.communicate()[0] for p in running if p.poll() is not None]
        running = [p for p in running if p.returncode is None]
        running += [migrations.start(fresh_database, "upgrade") for _ in range(2 - len(running))]
        eventually(partial(_is_at_work_or_ended, fresh_database, running), 60)
        time.sleep(random.uniform(0.0, 1.5))
        fresh_database.query(CUT_THE_LOCK)
    outputs += [process.communicate(timeout=60)[0] for process in running]
    assert _ledger(fresh_database) == list(range(90, 90 + rounds))
    assert _applied(fresh_database) == [*FILES, *texts]
    assert not [output for output in outputs if "Traceback" in output]


def _is_at_work_or_ended(database: Database, running: list[subprocess.Popen[str]]) -> bool:
    """Of several at once each may lose the lock before any of them does something with it."""
    return bool(database.value(IN_PROGRESS)) or all(process.poll() is not None for process in running)


def test_an_index_build_whose_lock_is_cut_ends_and_is_done_again(fresh_database: Database, tmp_path: Path) -> None:
    index = "90_20300101000000_index.py"
    migrations = Migrations(tmp_path / "migrations", {index: BUILD})
    with held(fresh_database.url, "BEGIN; LOCK TABLE tasks IN ROW EXCLUSIVE MODE"):
        process = migrations.start(fresh_database, "upgrade")
        eventually(lambda: fresh_database.value(BUILDING), within_seconds=60)
        assert fresh_database.query(CUT_THE_LOCK)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "The connection that has the migrations' lock was lost" in output
    assert (_applied(fresh_database), fresh_database.query(VALID)[0]["valid"]) == (FILES, False)
    migrations.run(fresh_database, "upgrade")
    assert (_applied(fresh_database), fresh_database.query(VALID)[0]["valid"]) == ([*FILES, index], True)
    migrations.run(fresh_database, "downgrade")
    assert (_applied(fresh_database), fresh_database.query(VALID)) == (FILES, [])


def test_a_downgrade_that_loses_the_lock_ends_too(fresh_database: Database, tmp_path: Path) -> None:
    fresh_database.query(LEDGER)
    migrations = Migrations(tmp_path / "migrations", SLOW_FILES)
    migrations.run(fresh_database, "upgrade")
    process = migrations.start(fresh_database, "downgrade", "--to", "90")
    eventually(lambda: fresh_database.value(IN_PROGRESS), within_seconds=60)
    fresh_database.query(CUT_THE_LOCK)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The connection that has the migrations' lock was lost" in output
    assert _ledger(fresh_database) == [90, 91, 92]
    migrations.run(fresh_database, "downgrade", "--to", "90")
    assert _ledger(fresh_database) == [90]


async def test_a_session_that_has_not_the_lock_applies_nothing(fresh_database: Database) -> None:
    """As behind a pooler that gives each transaction another session, even one that takes every setting."""
    async with locked(parse_database_url(fresh_database.url)) as pool:
        async with pool.transaction() as transaction:
            assert await transaction.fetchrow(Statement("test", "SELECT 1"))
        await pool.connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LockLost):
            async with pool.transaction():
                pytest.fail("it went on")
        with pytest.raises(LockLost):
            async with pool.lease():
                pytest.fail("it went on")


def test_a_peer_that_is_gone_is_noticed_within_a_minute() -> None:
    with postgres() as server:
        database = server.create()

        async def settings() -> tuple[int, list[str]]:
            async with locked(parse_database_url(database.url)) as pool:
                ours = pool.connection._transport.get_extra_info("socket")
                idle = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
                return idle, [await pool.connection.fetchval(f"SHOW {name}") for name in names]

        assert asyncio.run(settings()) == (20, ["20", "10", "4"])
