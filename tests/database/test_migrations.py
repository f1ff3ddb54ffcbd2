"""Migrations are applied exactly once, undone newest first, and survive whatever interrupts them."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.database import migrate, revisions
from service.database.drift import drift
from service.database.revisions import MigrationError, Revision, SchemaState
from service.database.url import DatabaseUrl, parse_database_url
from tests.support.database import ROOT, Database, bare_environment, held
from tests.support.drill import eventually, percentile, pick, report
from tests.support.migrations import Migrations
from tests.support.postgres import postgres

T = TypeVar("T")
FILES = [r.file for r in revisions.files()]
AERICH = "CREATE TABLE aerich (id serial PRIMARY KEY, version text, app text, content jsonb)"
CONNECTED = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tasks-migrate' AND datname = current_database()"
)
CATALOG = """
    SELECT format('%s.%s %s default %s null %s', table_name, column_name, udt_name, column_default, is_nullable) AS line
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'invalid ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid
    ORDER BY 1"""


def _schema(database: Database) -> list[str]:
    return [row["line"] for row in database.query(CATALOG)]


def _applied(database: Database) -> list[str]:
    return [row["version"] for row in database.query("SELECT version FROM aerich ORDER BY id")]


def _upgrade(database: Database) -> list[str]:
    return _here(database, migrate.upgrade)


def _downgrade(database: Database, to: int | None = None) -> list[str]:
    return _here(database, lambda url: migrate.downgrade(url, to))


def _here(database: Database, action: Callable[[DatabaseUrl], Coroutine[Any, Any, T]]) -> T:
    """In this process: starting another one takes longer than most migrations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.url)
        return asyncio.run(action(parse_database_url(database.url)))


def _start(database: Database, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "service", "migrate", *arguments],
        cwd=ROOT,
        env={**bare_environment(), "DATABASE_URL": database.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.drill
def test_processes_that_migrate_at_the_same_time_apply_each_revision_once(empty_database: Database) -> None:
    rounds = pick(2, 20)
    for _ in range(rounds):
        empty_database.query(AERICH)
        # All of them stand before the same door when it opens: no head start.
        with held(empty_database.url, "BEGIN; LOCK TABLE aerich"):
            racing = [_start(empty_database, "upgrade") for _ in range(3)]
            eventually(lambda: empty_database.value(CONNECTED) >= 3, within_seconds=60)
        outputs = [process.communicate(timeout=100)[0] for process in racing]
        assert [process.returncode for process in racing] == [0, 0, 0], outputs
        assert _applied(empty_database) == FILES
        assert sum(output.count("applied ") for output in outputs) == len(FILES)
        empty_database.query("DROP SCHEMA public CASCADE")
        empty_database.query("CREATE SCHEMA public")
    report("promise 9, exactly once", rounds=rounds, processes=3)


def test_up_down_and_up_again_gives_the_same_schema(empty_database: Database) -> None:
    assert _upgrade(empty_database) == FILES
    first = _schema(empty_database)
    assert not [line for line in first if line.startswith("invalid")]
    with capture_logs() as events:
        assert _downgrade(empty_database, 0) == FILES[::-1]
    assert events[0] == {"event": "migration_downgrade_plan", "files": FILES[::-1], "log_level": "info"}
    assert [event["file"] for event in events[1:]] == FILES[::-1]
    left = {line.split(".")[0] for line in _schema(empty_database) if " default " in line}
    assert left == {"aerich"}
    assert _upgrade(empty_database) == FILES
    assert _schema(empty_database) == first


def test_one_downgrade_undoes_the_last_revision_alone(fresh_database: Database) -> None:
    fresh_database.migrate("downgrade", check=True)
    assert _applied(fresh_database) == FILES[:-1]
    assert f"pending  {FILES[-1]}" in fresh_database.migrate("history").stdout
    assert FILES[-1] in fresh_database.migrate("heads").stdout
    check = fresh_database.migrate("check")
    assert (check.returncode, check.stdout.strip()) == (1, f"missing {FILES[-1]}")


def test_a_downgrade_to_nowhere_is_refused(fresh_database: Database) -> None:
    with pytest.raises(MigrationError, match="Revision 9999 is not applied"):
        _downgrade(fresh_database, 9999)
    assert _applied(fresh_database) == FILES


def test_revisions_applied_out_of_order_are_undone_as_they_came(fresh_database: Database) -> None:
    fresh_database.query("UPDATE aerich SET id = id + 100 WHERE version = $1", FILES[1])
    with pytest.raises(MigrationError, match="undo the last ones one at a time"):
        _downgrade(fresh_database, 3)
    assert _downgrade(fresh_database) == [FILES[1]]


def test_a_database_that_is_ahead_is_a_warning(fresh_database: Database) -> None:
    fresh_database.query(
        "INSERT INTO aerich (version, app, content) VALUES ('9999_20300101000000_future.py', 'models', '{}')"
    )
    with capture_logs() as events:
        assert _upgrade(fresh_database) == []
    assert [event["event"] for event in events] == ["schema_ahead"]
    check = fresh_database.migrate("check")
    assert check.returncode == 0
    assert "schema_ahead" in check.stdout
    with pytest.raises(MigrationError, match=r"Only a build that has 9999_20300101000000_future\.py can undo it"):
        _downgrade(fresh_database)


@pytest.mark.parametrize("action", [migrate.upgrade, revisions.state, lambda url: migrate.downgrade(url, None)])
def test_a_database_from_another_branch_is_refused(
    fresh_database: Database, action: Callable[[DatabaseUrl], Coroutine[Any, Any, object]]
) -> None:
    other = f"{FILES[-1].partition('_')[0]}_20200101000000_other_branch.py"
    fresh_database.query("UPDATE aerich SET version = $1 WHERE version = $2", other, FILES[-1])
    with pytest.raises(MigrationError, match=f"The database holds revision {other}"):
        _here(fresh_database, action)


def test_two_files_with_one_number_are_refused() -> None:
    twins = (Revision.of("1_20260101000000_a.py"), Revision.of("2_20260101000000_b.py"), Revision.of("2_2_c.py"))
    with pytest.raises(MigrationError, match="Two files have the number 2"):
        SchemaState(twins, ()).check()


def test_a_hole_in_the_files_is_refused() -> None:
    expected = (Revision.of("1_1_a.py"), Revision.of("3_1_c.py"))
    with pytest.raises(MigrationError, match=r"2_1_b\.py, which this build lacks"):
        SchemaState(expected, (Revision.of("1_1_a.py"), Revision.of("2_1_b.py"))).check()


def test_the_files_have_numbers_of_their_own() -> None:
    SchemaState(revisions.files(), ()).check()


def test_drift_between_models_and_migrations_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from tortoise import fields  # noqa: PLC0415  only this test needs the models

    from service.tasks.model import Task  # noqa: PLC0415  only this test needs the models

    assert drift() == ""
    extra = fields.IntField(null=True)
    extra.model_field_name = "extra"
    monkeypatch.setitem(Task._meta.fields_map, "extra", extra)
    monkeypatch.setitem(Task._meta.fields_db_projection, "extra", "extra")
    assert 'ADD "extra" INT' in drift()


def test_plain_aerich_works_from_the_root(empty_database: Database) -> None:
    def aerich(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "aerich", *arguments],
            cwd=ROOT,
            env={**bare_environment(), "DATABASE_URL": empty_database.url},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    assert FILES[-1] in aerich("upgrade")
    assert _applied(empty_database) == FILES
    assert "No available heads" in aerich("heads")
    assert FILES[0] in aerich("history")
    aerich("downgrade", "--yes")
    assert _applied(empty_database) == FILES[:-1]


MIGRATING = (
    "SELECT state, query FROM pg_stat_activity WHERE application_name = 'tasks-migrate' AND wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


def _kill_while_it_waits(database: Database) -> None:
    process = _start(database, "upgrade")
    eventually(lambda: database.query(MIGRATING), within_seconds=30)
    process.kill()
    process.communicate()


def test_an_index_build_that_is_killed_is_cleared_away_and_done_again(empty_database: Database) -> None:
    _upgrade(empty_database)
    whole = _schema(empty_database)
    _downgrade(empty_database, 1)
    with held(empty_database.url, "BEGIN; LOCK TABLE tasks IN ROW EXCLUSIVE MODE"):
        _kill_while_it_waits(empty_database)
        # The server ends the orphan by itself; no migration after it has to wait for its locks.
        eventually(lambda: not empty_database.query(MIGRATING), within_seconds=10)
        assert [line for line in _schema(empty_database) if line.startswith("invalid")] == ["invalid tasks_by_created"]
    _upgrade(empty_database)
    assert _schema(empty_database) == whole
    assert sorted(_applied(empty_database)) == sorted(FILES)


def test_a_transaction_that_is_killed_leaves_nothing_and_is_done_again(empty_database: Database) -> None:
    _upgrade(empty_database)
    whole = _schema(empty_database)
    _downgrade(empty_database, 3)
    before = _schema(empty_database)
    with held(empty_database.url, "BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE"):
        _kill_while_it_waits(empty_database)
        eventually(lambda: not empty_database.query(MIGRATING), within_seconds=10)
        assert _schema(empty_database) == before
    _upgrade(empty_database)
    assert _schema(empty_database) == whole


ADD_COLUMN = """
async def upgrade(db):
    return "ALTER TABLE tasks ADD COLUMN weight smallint NOT NULL DEFAULT 0"

async def downgrade(db):
    return "ALTER TABLE tasks DROP COLUMN weight"
"""


@pytest.mark.drill
def test_readers_hardly_notice_a_migration_that_waits_for_a_long_transaction(
    fresh_database: Database, tmp_path: Path
) -> None:
    migrations = Migrations(tmp_path / "migrations", {"90_20300101000000_weight.py": ADD_COLUMN})
    stop, times = threading.Event(), list[float]()
    with ThreadPoolExecutor(1) as threads:
        with held(fresh_database.url, "BEGIN; SELECT count(*) FROM tasks"):
            reading = threads.submit(_read, fresh_database.url, stop, times)
            process = migrations.start(fresh_database, "upgrade")
            try:
                eventually(lambda: fresh_database.query(MIGRATING), within_seconds=30)
                time.sleep(pick(3.0, 10.0))
                assert process.poll() is None, "it is still trying"
            finally:
                stop.set()
            reading.result()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "migration_lock_busy" in output
    assert fresh_database.value("SELECT count(weight) FROM tasks") == 0
    report("promise 9, readers", reads=len(times), p99=percentile(times, 0.99), slowest=max(times))
    assert len(times) > 50
    assert percentile(times, 0.99) <= 1.0


def _read(url: str, stop: threading.Event, times: list[float]) -> None:
    """Read the table again and again, and write down how long each time took."""

    async def read() -> None:
        connection = await asyncpg.connect(url)
        while not stop.is_set():
            began_at = time.monotonic()
            await connection.fetch("SELECT id FROM tasks LIMIT 1")
            times.append(time.monotonic() - began_at)
            await asyncio.sleep(0.005)
        await connection.close()

    asyncio.run(read())


def test_a_migration_waits_for_a_database_that_is_still_starting() -> None:
    with postgres() as server:
        database = server.create()
        server.stop()
        process = _start(database, "check")
        assert process.stdout is not None
        assert "database_awaited" in process.stdout.readline()
        assert process.poll() is None
        server.start()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
