"""A real PgBouncer in transaction mode between service and PostgreSQL."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.database.embedded import _as_user
from tests.support.database import Database, held, run_sql
from tests.support.drill import eventually
from tests.support.postgres import Postgres
from tests.support.server import free_port, serve
from tests.support.tools import tool
from tests.support.users import sign_up

SERVER_CONNECTIONS = 3


@contextmanager
def _pgbouncer(server: Postgres) -> Iterator[int]:
    """Yields the port."""
    binary, port = tool("pgbouncer", "apt-get install pgbouncer"), free_port()
    with tempfile.TemporaryDirectory(prefix="tasks-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\ntasks = host=127.0.0.1 port={server.options['port']} dbname=tasks user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\n"
        )
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([*_as_user(), binary, settings], stdout=log, stderr=log)
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
                assert time.monotonic() - began_at < 2.0
            eventually(lambda: service.metric('db_pool_connections{state="in_use"}') == 0)
            again = user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": "slow"})
            assert again.status_code == 201
            assert len(user.list(q="x", limit=500)) == 1


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
    async with httpx.AsyncClient(base_url=base_url, headers=headers, limits=limits, timeout=20) as client:
        await asyncio.gather(*(one(number) for number in range(150)))
    return found
