"""Whatever is wrong with the database when a command starts: one sentence, no traceback and no password."""

import asyncio
import re
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.database import migrate, revisions, start
from service.database.connection import PoolOptions
from service.database.faults import DatabaseFault
from service.database.revisions import MigrationError
from service.database.url import DatabaseUrl, parse_database_url
from service.lifecycle import check_database
from service.settings import load_settings
from tests.support.database import Database, run_command, run_sql
from tests.support.drill import eventually
from tests.support.front import Front
from tests.support.postgres import Postgres, postgres
from tests.support.problems import assert_problem
from tests.support.resolver import UNRESOLVED, hanging_resolver
from tests.support.server import SECRET, Service, free_port, serve
from tests.support.users import sign_up

CANARY = "c4n#ary%21"
"""The password in every URL here; the server asks only `guarded` for one."""

AERICH = "CREATE TABLE aerich (id int, version text, app text)"
Make = Callable[..., Database]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as server:
        rules = Path(server.data) / "pg_hba.conf"
        rules.write_text("host all guarded all scram-sha-256\nhost all barred all reject\n" + rules.read_text())
        admin = server.tcp_url("postgres")
        run_sql(admin, "SELECT pg_reload_conf()")
        for role in ("plain", "guarded", "barred"):
            run_sql(admin, f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
        yield server


@pytest.fixture
def make(server: Postgres) -> Iterator[Make]:
    """Makes a database of its own, without a schema."""
    made: list[Database] = []

    def made_so(how: str = "") -> Database:
        name = f"start_{len(made)}"
        admin = server.tcp_url("postgres")
        run_sql(admin, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        run_sql(admin, f"CREATE DATABASE {name} {how}")
        made.append(Database(server.tcp_url(name), name, admin))
        return made[-1]

    yield made_so
    for each in made:
        each.drop()


def url(database: Database, role: str = "postgres", query: str = "") -> str:
    return database.url.replace("postgres@", f"{role}:{CANARY}@") + f"?{query}"


def run(database: Database, script: str) -> None:
    for statement in script.split("; "):
        database.query(statement)


async def _serve() -> None:
    await check_database(load_settings())


COMMANDS: dict[str, Callable[[DatabaseUrl], Coroutine[Any, Any, object]]] = {
    "upgrade": migrate.upgrade,
    "downgrade": lambda url: migrate.downgrade(url, 0),
    "check": revisions.state,
    "serve": lambda _: _serve(),
}


def refusal(database_url: str, command: str) -> str:
    """The one sentence with which the command ends; here, since a process takes a second to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database_url)
        patch.setenv("JWT_SECRET", SECRET)
        with pytest.raises((DatabaseFault, MigrationError)) as caught:
            asyncio.run(COMMANDS[command](parse_database_url(database_url)))
    told = str(caught.value)
    assert "\n" not in told
    assert "c4n" not in told
    return told


@pytest.mark.parametrize("command", [["migrate", "upgrade"], ["migrate", "history"], ["serve"]])
def test_a_command_ends_with_its_sentence(make: Make, command: list[str]) -> None:
    ports = {"PORT": str(free_port()), "ADMIN_PORT": str(free_port()), "HOST": "127.0.0.1"}
    ended = run_command(*command, check=False, DATABASE_URL=url(make(), "guarded"), JWT_SECRET=SECRET, **ports)
    assert ended.returncode == 1
    assert ended.stderr == (
        "The database cannot be used: the server refuses the login:"
        ' password authentication failed for user "guarded" (28P01)\n'
    )
    assert "c4n" not in ended.stdout


def test_a_database_that_goes_right_after_it_was_checked(database: Database) -> None:
    with Front(database.url, serves=1) as front:
        there = f"postgresql://postgres:{CANARY}@127.0.0.1:{front.port}/{database.name}"
        ports = {"PORT": str(free_port()), "ADMIN_PORT": str(free_port()), "HOST": "127.0.0.1"}
        ended = run_command("serve", check=False, DATABASE_URL=there, JWT_SECRET=SECRET, **ports)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("The database cannot be used: ")
    assert "c4n" not in ended.stdout + ended.stderr


def test_a_role_that_may_not_create_tables(make: Make) -> None:
    empty = make()
    told = refusal(url(empty, "plain"), "upgrade")
    assert "the role lacks a privilege: permission denied for schema public (42501)" in told
    assert empty.query("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []


def test_a_role_that_owns_no_table_cannot_undo(make: Make) -> None:
    found = make()
    found.upgrade()
    found.query("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain")
    told = refusal(url(found, "plain"), "downgrade")
    assert "the role lacks a privilege" in told


def test_a_role_that_may_not_read_or_write(make: Make) -> None:
    found = make()
    found.upgrade()
    told = refusal(url(found, "plain"), "check")
    assert "permission denied for table aerich" in told
    assert "permission denied for table aerich" in refusal(url(found, "plain"), "serve")
    run(found, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain; GRANT INSERT ON users TO plain")
    told = refusal(url(found, "plain"), "serve")
    assert "the role plain lacks" in told
    assert "DELETE, UPDATE on users" in told
    assert "DELETE, INSERT, UPDATE on tasks" in told


def test_a_table_that_somebody_dropped(make: Make) -> None:
    found = make()
    found.upgrade()
    with serve(url(found)) as service, sign_up(service.url) as user:
        run(found, "DROP TABLE idempotency_keys; ALTER TABLE tasks RENAME description TO about")
        assert_problem(user.http.get(user.tasks), 503, "schema_behind")
        sent = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "x"})
        assert_problem(sent, 503, "schema_behind")
    assert "it lacks idempotency_keys" in refusal(url(found), "serve")


def test_a_privilege_taken_away_at_run_time_is_no_fault_of_the_caller(make: Make) -> None:
    found = make()
    found.upgrade()
    rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    found.query(f"GRANT {rights} TO plain")
    with serve(url(found, "plain")) as service, sign_up(service.url) as user:
        found.query("REVOKE SELECT ON tasks FROM plain")
        refused = user.http.get(user.tasks)
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        found.query("GRANT SELECT ON tasks TO plain")
        assert user.http.get(user.tasks).status_code == 200


def test_a_read_only_database_is_served_but_not_migrated(make: Make) -> None:
    empty, ready = make(), make()
    ready.upgrade()
    for each in (empty, ready):
        run_sql(each.server, f"ALTER DATABASE {each.name} SET default_transaction_read_only = on")
    told = refusal(url(empty), "upgrade")
    assert "the database is read-only" in told
    assert "(25006)" in told
    assert "the database is read-only" in refusal(url(ready), "downgrade")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url(ready))
        assert asyncio.run(migrate.upgrade(parse_database_url(url(ready)))) == []
        with capture_logs() as events:
            patch.setenv("JWT_SECRET", SECRET)
            asyncio.run(_serve())
    assert "database_read_only" in [event["event"] for event in events]


def test_a_table_of_somebody_else(make: Make) -> None:
    theirs = make()
    run(theirs, "CREATE TABLE users (name text); INSERT INTO users VALUES ('ada')")
    told = refusal(url(theirs), "upgrade")
    assert 'is not ours: relation "users" already exists (42P07)' in told
    assert [
        row["tablename"] for row in theirs.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ] == ["users"]
    assert "python -m service migrate upgrade" in refusal(url(theirs), "serve")


@pytest.mark.parametrize("kind", ["", "UNIQUE "], ids=["valid", "invalid"])
def test_an_index_of_somebody_else(make: Make, kind: str) -> None:
    """Whose name is ours: it is neither taken for ours nor cleared away."""
    theirs = make()
    run(theirs, "CREATE TABLE theirs (name text); INSERT INTO theirs VALUES ('ada'), ('ada')")
    with suppress(asyncpg.UniqueViolationError):
        theirs.query(f"CREATE {kind}INDEX CONCURRENTLY tasks_by_title ON theirs (name)")
    told = refusal(url(theirs), "upgrade")
    assert 'is not ours: relation "tasks_by_title" already exists (42P07)' in told
    assert theirs.value("SELECT count(*) FROM pg_indexes WHERE tablename = 'theirs'") == 1
    run(theirs, "DROP TABLE theirs")
    assert run_command("migrate", "upgrade", DATABASE_URL=theirs.url).returncode == 0
    assert theirs.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'tasks_by_title'") == 1


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("CREATE TABLE aerich (name text)", 'column "version" does not exist (42703)'),
        (f"{AERICH}; INSERT INTO aerich VALUES (1, 'init', 'models')", "'init', which is no revision of this service"),
        (f"{AERICH}; INSERT INTO aerich VALUES (1, '0_2_init.py', 'models')", "0_2_init.py, which this build lacks"),
    ],
)
def test_a_table_of_another_program_that_uses_aerich(make: Make, table: str, told: str) -> None:
    theirs = make()
    run(theirs, table)
    for command in ("upgrade", "check", "serve"):
        assert told in refusal(url(theirs), command)


@pytest.mark.parametrize("path", ["nowhere", ""])
def test_a_search_path_that_leads_nowhere(make: Make, path: str) -> None:
    empty = make()
    run_sql(empty.server, f"ALTER DATABASE {empty.name} SET search_path = '{path}'")
    assert "leads to no schema" in refusal(url(empty), "upgrade")


def test_a_schema_of_its_own_is_followed(make: Make) -> None:
    shared = make()
    run(shared, "CREATE TABLE users (name text); CREATE SCHEMA tasks")
    there = url(shared, query="options=-c%20search_path%3Dtasks")
    assert run_command("migrate", "upgrade", DATABASE_URL=there).returncode == 0
    with serve(there) as service, sign_up(service.url) as user:
        user.create("mine")
    assert shared.value("SELECT title FROM tasks.tasks") == "mine"


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_cannot_hold_every_text(make: Make, encoding: str) -> None:
    other = make(f"ENCODING {encoding} LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    for command in ("upgrade", "check", "serve"):
        assert f"its encoding is {encoding}" in refusal(url(other), command)


def test_a_server_that_is_too_old(empty_database: Database) -> None:
    """The oldest that nothing here was tested with; all else that it says is today's."""
    version = empty_database.value("SELECT current_setting('server_version')")
    old = "14.9".ljust(len(version), "9").encode()
    with Front(
        empty_database.url, replace=(b"server_version\0" + version.encode(), b"server_version\0" + old)
    ) as front:
        there = f"postgresql://postgres:{CANARY}@127.0.0.1:{front.port}/{empty_database.name}"
        for command in ("upgrade", "serve"):
            assert "it is PostgreSQL 14, and 15 is the oldest" in refusal(there, command)


@pytest.mark.parametrize("command", ["upgrade", "check", "serve"])
def test_what_does_not_pass_is_not_waited_for(make: Make, command: str) -> None:
    empty = make()
    assert "the server refuses the login: password authentication failed" in refusal(url(empty, "guarded"), command)
    assert "the server refuses the login: pg_hba.conf rejects" in refusal(url(empty, "barred"), command)
    missing = url(empty).replace("/start_0", "/nothing")
    assert 'the server has no such database: database "nothing" does not exist (3D000)' in refusal(missing, command)
    assert "takes no TLS" in refusal(url(empty, query="sslmode=require"), command)
    assert "`options`" in refusal(url(empty, query="options=-c%20nonsense%3D1"), command)


def test_the_right_password_is_used(make: Make) -> None:
    found = make()
    found.query("GRANT CREATE ON SCHEMA public TO guarded")
    right = url(found, "guarded").replace(CANARY, "%72ight")
    assert run_command("migrate", "upgrade", DATABASE_URL=right).returncode == 0


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("127.0.0.1:1/x", "the connection is refused at 127.0.0.1:1"),
        ("nowhere.invalid/x", "the host's name is not known at nowhere.invalid:5432"),
        ("/x?host=/nowhere", "there is no socket at /nowhere"),
        ("127.0.0.1:1,nowhere.invalid/x", "at 127.0.0.1:1, nowhere.invalid:5432"),
        ("127.0.0.1:1,127.0.0.1:{port}/nothing", "the connection is refused at 127.0.0.1:1, "),
        ("127.0.0.1:{port},127.0.0.1:1/nothing", "the connection is refused at 127.0.0.1:"),
    ],
)
async def test_what_may_pass_is_waited_for_with_a_line_in_the_log(
    where: str, told: str, server: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    where = where.format(port=server.options["port"])
    options = PoolOptions(parse_database_url(f"postgresql://postgres:{CANARY}@{where}"))
    with pytest.raises(DatabaseFault) as caught:
        await start.connect(options, wait_seconds=0.5)
    assert told in str(caught.value)
    lines = [line for line in capsys.readouterr().out.splitlines() if "database_awaited" in line]
    assert len(lines) == 1
    assert told in lines[0]
    assert "c4n" not in str(caught.value) + lines[0]


async def test_a_server_that_is_full_is_waited_for(server: Postgres) -> None:
    admin = server.tcp_url("postgres")
    await asyncio.to_thread(run_sql, admin, "ALTER ROLE plain CONNECTION LIMIT 0")
    options = PoolOptions(parse_database_url(admin.replace("postgres@", "plain@")))
    waiting = asyncio.create_task(start.connect(options, wait_seconds=20))
    try:
        await asyncio.sleep(0.3)
        assert not waiting.done()
    finally:
        await asyncio.to_thread(run_sql, admin, "ALTER ROLE plain CONNECTION LIMIT -1")
    await (await waiting).end(1)


def test_no_line_of_any_log_has_the_password(server: Postgres, make: Make) -> None:
    """Also not when the login stops working under a service that runs."""
    found = make()
    found.query("GRANT CREATE ON SCHEMA public TO guarded")
    right = url(found, "guarded").replace(CANARY, "right")
    assert run_command("migrate", "upgrade", DATABASE_URL=right).returncode == 0
    with serve(right, LOG_LEVEL="debug") as service, sign_up(service.url) as user:
        found.query("ALTER ROLE guarded PASSWORD 'other'")
        found.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'")
        refused = user.http.get(user.tasks)
        assert refused.status_code in {200, 503}
        log = service.log()
    found.query("ALTER ROLE guarded PASSWORD 'right'")
    assert not re.search(r"right|c4n", log)


def test_a_name_that_nobody_resolves_does_not_hold_up_sigterm(tmp_path: Path) -> None:
    starting = Service(f"postgresql://plain@{UNRESOLVED}/tasks", hanging_resolver(tmp_path))
    starting.spawn()
    eventually(lambda: "database_awaited" in starting.log(), 30)
    began_at = time.monotonic()
    assert starting.stop() == 128 + signal.SIGTERM
    assert time.monotonic() - began_at < 10
