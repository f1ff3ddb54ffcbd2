"""What a session is set to: by the service, whatever the defaults of the database are; and what the kernel is asked."""

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.database import session
from service.database.connection import Connection, Connector, PoolOptions
from service.database.orm import migration_options
from service.database.url import parse_database_url
from service.lifecycle import pool_options
from service.settings import Settings
from tests.support.database import SERVER, Database, run_sql
from tests.support.front import Front
from tests.support.server import SECRET, serve
from tests.support.users import sign_up

STRANGE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "TimeZone": "Pacific/Chatham",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "statement_timeout": "1",
    "idle_session_timeout": "1",
    "lock_timeout": "1",
    "random_page_cost": "1000",
}
WRITERS = 8


def test_the_defaults_of_the_database_make_no_difference(empty_database: Database) -> None:
    """Also to the migrations: a timeout of a millisecond would end the first of them."""
    name = empty_database.name
    for setting, value in STRANGE.items():
        run_sql(empty_database.server, f"ALTER DATABASE {name} SET {setting} = '{value}'")
    done = empty_database.migrate("upgrade")
    assert done.returncode == 0, done.stderr
    with serve(empty_database.url) as service, sign_up(service.url) as user:
        task = user.create("one")
        assert task["created_at"].endswith("Z")
        path = f"{user.tasks}/{task['id']}"
        assert user.http.get(path).json() == task
        assert user.http.get(user.tasks, params={"created_from": task["created_at"]}).json() == [task]

        def toggle(_: int) -> int:
            return user.http.patch(f"{path}/complete").status_code

        # Serializable or repeatable read would refuse all but one of those that meet: 503 after three tries.
        with ThreadPoolExecutor(WRITERS) as pool:
            assert set(pool.map(toggle, range(10 * WRITERS))) == {200}


async def test_every_session_is_set_to_what_the_statements_need(database: Database) -> None:
    connection = await Connector(PoolOptions(parse_database_url(database.url))).connect()
    try:
        for name, value in session.NEUTRAL:
            assert await connection.fetchval("SELECT current_setting($1)", name) == value
    finally:
        await connection.end(1)


def ours(database: Database, pooler: str) -> PoolOptions:
    given = {"database_url": database.url, "jwt_secret": SECRET, "db_pooler": pooler}
    return pool_options(Settings.model_validate(given))


SESSIONS: dict[str, Callable[[Database], PoolOptions]] = {
    "ours": lambda database: ours(database, "none"),
    "behind a pooler": lambda database: ours(database, "session"),
    "a migration's": lambda database: migration_options(parse_database_url(database.url)),
}


@pytest.mark.parametrize("whose", SESSIONS)
def test_no_transaction_ends_for_its_age(empty_database: Database, whose: str) -> None:
    if empty_database.value("SELECT current_setting('server_version_num')::int") < 170000:
        pytest.skip("before PostgreSQL 17 none does")
    empty_database.query(f"ALTER DATABASE {empty_database.name} SET transaction_timeout = '1min'")

    async def limit() -> str:
        connection = await Connector(SESSIONS[whose](empty_database)).connect()
        try:
            return str(await connection.fetchval("SELECT current_setting('transaction_timeout')"))
        finally:
            await connection.end(1)

    assert asyncio.run(limit()) == "0"


def test_the_kernel_is_asked_to_keep_the_connection_alive_as_libpq_asks_it() -> None:
    async def options(query: str) -> list[int]:
        url = f"postgresql://postgres@127.0.0.1:{front.port}/postgres?sslmode=disable&{query}"
        connection: Connection = await Connector(PoolOptions(parse_database_url(url))).connect()
        tcp = connection._transport.get_extra_info("socket")
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        found = [tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        found += [tcp.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names if hasattr(socket, name)]
        await connection.end(1)
        return found

    with Front(os.environ[SERVER]) as front:
        asked = "keepalives_idle=33&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=9000"
        assert asyncio.run(options(asked))[:5] == [1, 33, 7, 4, 9000][: len(asyncio.run(options(asked)))]
        assert asyncio.run(options(""))[0] == 1
        assert asyncio.run(options("keepalives=0"))[0] == 0


def test_the_name_of_the_application_is_the_urls(database: Database) -> None:
    async def name(query: str) -> str:
        connection = await Connector(PoolOptions(parse_database_url(f"{database.url}&{query}"))).connect()
        try:
            return str(await connection.fetchval("SELECT current_setting('application_name')"))
        finally:
            await connection.end(1)

    assert asyncio.run(name("")) == "tasks-service"
    assert asyncio.run(name("fallback_application_name=b")) == "b"
    assert asyncio.run(name("application_name=a&fallback_application_name=b")) == "a"
