"""A real PgBouncer in transaction mode between service and PostgreSQL."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.background import Background
from service.database import session, start
from service.database.connection import PoolOptions
from service.database.faults import DatabaseFault
from service.database.orm import migration_options
from service.database.pool import Pool, Statement
from service.database.postgres_programs import server_user_prefix
from service.database.revisions import files
from service.database.url import parse_database_url
from service.problems import DatabaseUnavailable
from service.telemetry.metrics import Metrics
from tests.support.database import Database, held, run_command, run_sql
from tests.support.drill import eventually
from tests.support.postgres import Postgres
from tests.support.server import SECRET, free_port, serve
from tests.support.tools import tool
from tests.support.users import sign_up

SERVER_CONNECTIONS = 3


@contextmanager
def _pgbouncer(server: Postgres, mode: str = "transaction", ignored: str = "") -> Iterator[int]:
    """Yields the port. `ignored` is what it is told to keep to itself of a client's settings."""
    binary, port = tool("pgbouncer", "apt-get install pgbouncer"), free_port()
    with tempfile.TemporaryDirectory(prefix="tasks-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\ntasks = host=127.0.0.1 port={server.options['port']} dbname=tasks user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\n"
            f"ignore_startup_parameters = {ignored}\n"
        )
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([*server_user_prefix(), binary, settings], stdout=log, stderr=log)
        try:
            eventually(lambda: _answers(port))
            yield port
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        return bool(run_sql(f"postgresql://postgres@127.0.0.1:{port}/tasks", "SELECT 1"))
    except OSError:
        return False


def test_a_pooler_that_the_settings_know_nothing_of_is_named(own_postgres: Postgres, own_database: Database) -> None:
    with _pgbouncer(own_postgres) as port:
        url = f"postgresql://postgres:c4nary@127.0.0.1:{port}/tasks"
        for command in (["serve"], ["migrate", "upgrade"]):
            ended = run_command(*command, DATABASE_URL=url, JWT_SECRET=SECRET)
            assert ended.returncode == 1
            (line,) = ended.stderr.splitlines()
            assert "behind PgBouncer set DB_POOLER" in line
            assert "unsupported startup parameter" in line
            assert "c4nary" not in ended.stdout + ended.stderr
        assert run_command("migrate", "check", DATABASE_URL=url).returncode == 0


def test_what_a_pooler_keeps_from_the_session_has_to_be_on_the_role(
    own_postgres: Postgres, own_database: Database
) -> None:
    with _pgbouncer(own_postgres) as port:
        options = replace(
            _options(port), server_settings=session.FORMATS, prepared=False, application_name="tasks-service"
        )
        own_database.query("ALTER DATABASE tasks SET default_transaction_isolation = 'serializable'")
        try:
            _reconnect(own_database)
            with pytest.raises(DatabaseFault) as caught:
                asyncio.run(_checked(options))
        finally:
            own_database.query("ALTER DATABASE tasks RESET default_transaction_isolation")
        told = str(caught.value)
        assert "Run: ALTER ROLE postgres SET default_transaction_isolation = 'read committed'" in told
        _reconnect(own_database)
        with capture_logs() as events:
            asyncio.run(_checked(options))
        assert [(event["event"], event["settings"]) for event in events] == [
            ("role_settings_missing", ["random_page_cost", "enable_bitmapscan", "statement_timeout"])
        ]


def test_a_session_that_is_ours_alone_is_set_to_everything(own_postgres: Postgres, own_database: Database) -> None:
    ours = (*session.NEUTRAL, *session.limits(2.0), *session.PLANNER)
    with _pgbouncer(own_postgres, "session") as port:
        options = replace(_options(port), server_settings=session.FORMATS, session_settings=ours)

        async def run() -> dict[str, str]:
            connection = await start.connect(options, wait_seconds=1)
            names = [name for name, _ in ours]
            rows = await connection.fetch("SELECT n, current_setting(n) FROM unnest($1::text[]) AS n", names)
            await connection.end(1)
            return {row[0]: row[1] for row in rows}

        assert asyncio.run(run()) == {**dict(ours), **{name: "2s" for name, _ in session.limits(2.0)}}
        url = f"postgresql://postgres@127.0.0.1:{port}/tasks"
        with serve(url, DB_POOLER="session", DB_POOL_MIN="1", DB_POOL_MAX="2") as service, sign_up(service.url) as user:
            user.create("through a session")


@pytest.mark.parametrize("said", ["session", "none"])
def test_a_pooler_that_changes_sessions_is_noticed_at_start(
    own_postgres: Postgres, own_database: Database, said: str
) -> None:
    ours = (*session.NEUTRAL, *session.limits(2.0), *session.PLANNER)
    with _pgbouncer(own_postgres, ignored=",".join(name for name, _ in ours)) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/tasks"
        ended = run_command("serve", DATABASE_URL=url, JWT_SECRET=SECRET, DB_POOLER=said)
    assert ended.returncode == 1
    assert "set DB_POOLER=transaction" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pooler_that_changes_sessions_later_is_a_503(own_postgres: Postgres, own_database: Database) -> None:
    """Its settings can be changed under a service that runs. A statement that is not there has done nothing."""
    with _pgbouncer(own_postgres) as port:
        options = replace(_options(port), server_settings=session.FORMATS, minimum=1, maximum=1)

        async def run() -> None:
            metrics = Metrics(slo_latency_seconds=0.2, version="", commit="")
            pool = Pool(options, metrics.database, Background(metrics.background))
            await pool.open()
            await pool.fetch(ONE)
            other = await start.connect(options, wait_seconds=1)
            await other.execute("BEGIN")  # in the session that the statement was prepared in
            with capture_logs() as events, pytest.raises(DatabaseUnavailable):
                await pool.fetch(ONE)
            assert [event["event"] for event in events if event["log_level"] == "warning"] == [
                "database_session_changed"
            ]
            assert [row[0] for row in await pool.fetch(ONE)] == [1]
            await other.end(1)
            await pool.close()

        asyncio.run(run())


ONE = Statement("one", "SELECT 1")


def _options(port: int) -> PoolOptions:
    return PoolOptions(parse_database_url(f"postgresql://postgres@127.0.0.1:{port}/tasks"))


async def _checked(options: PoolOptions) -> None:
    connection = await start.connect(options, wait_seconds=1)
    try:
        await start.check_session(connection, [])
    finally:
        await connection.end(1)


NOTICED_SECONDS = 0.5
"""By then PgBouncer has seen that they are gone: it would lend one of them, and answer for it with an error."""


def _reconnect(database: Database) -> None:
    """The pooler's sessions have what the database had when they began."""
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tasks' AND pid <> pg_backend_pid()"
    )
    time.sleep(NOTICED_SECONDS)


def test_the_service_works_through_a_transaction_pooler(own_postgres: Postgres, own_database: Database) -> None:
    """More connections of ours than of the server: every statement may meet another session."""
    with _pgbouncer(own_postgres) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/tasks"
        settings = {"DB_POOLER": "transaction", "DB_POOL_MIN": "8", "DB_STATEMENT_TIMEOUT_SECONDS": "1"}
        with serve(url, **settings) as service, sign_up(service.url) as user:
            answers = asyncio.run(_mixed(str(user.http.base_url), user.token, user.tasks))
            assert {status for status, _ in answers} == {200, 201}
            assert all(title == got for status, (title, got) in answers if status == 201)

            backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'tasks' AND pid <> pg_backend_pid()"
            assert run_sql(own_postgres.tcp_url("postgres"), backends)[0][0] <= SERVER_CONNECTIONS

            # A statement that is given up leaves neither a lock nor a transaction behind.
            with held(own_database.url, "BEGIN; LOCK TABLE tasks IN SHARE MODE"):
                began_at = time.monotonic()
                slow = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "slow"})
                assert (slow.status_code, slow.json()["code"]) == (503, "database_timeout")
                assert time.monotonic() - began_at < 5.0
            eventually(lambda: service.metric('db_pool_connections{state="in_use"}') == 0)
            again = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "slow"})
            assert again.status_code == 201
            assert len(user.list(q="x", limit=500)) == 1


ALL_SETTINGS = ",".join(name for name, _ in migration_options(parse_database_url("postgres://x/x")).server_settings)


@pytest.mark.parametrize(
    ("ignored", "reason"), [("", "give migrations a direct URL"), (ALL_SETTINGS, "A pooler keeps lock_timeout")]
)
def test_migrations_do_not_go_through_a_transaction_pooler(
    own_postgres: Postgres, own_database: Database, ignored: str, reason: str
) -> None:
    with _pgbouncer(own_postgres, ignored=ignored) as port:
        url = f"postgresql://postgres@127.0.0.1:{port}/tasks"
        for command in (("upgrade",), ("downgrade",)):
            done = run_command("migrate", *command, DATABASE_URL=url)
            assert done.returncode == 1
            assert reason in done.stderr
            assert "Traceback" not in done.stderr
    assert own_database.value("SELECT count(*) FROM aerich") == len(files())


async def _mixed(base_url: str, token: str, tasks: str) -> list[tuple[int, tuple[str, str]]]:
    """Creates with and without a key, and lists in different orders, 30 at a time."""
    gate, found = asyncio.Semaphore(30), list[tuple[int, tuple[str, str]]]()

    async def one(number: int) -> None:
        async with gate:
            title = f"task {number}"
            if number % 3 == 0:
                answer = await client.get(tasks, params={"sort": ("title", "-updated_at")[number % 2], "limit": 2})
                found.append((answer.status_code, ("", "")))
            else:
                headers = {"Idempotency-Key": f"{number}"} if number % 2 else {}
                answer = await client.post(tasks, json={"title": title}, headers=headers)
                found.append((answer.status_code, (title, answer.json().get("title", answer.text))))

    limits = httpx.Limits(max_connections=30)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=20, verify=False) as client:
        await asyncio.gather(*(one(number) for number in range(150)))
    return found
