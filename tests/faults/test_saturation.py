"""More requests than connections: they wait a little, then they are told, and then all is as before."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.support.database import Database, held
from tests.support.drill import eventually
from tests.support.server import serve
from tests.support.users import User, sign_up

LOCK = "BEGIN; LOCK TABLE tasks IN SHARE MODE"
IDLE = 'db_pool_connections{state="idle"}'
IN_USE = 'db_pool_connections{state="in_use"}'


async def _at_once(user: User, count: int, **headers: str) -> list[httpx.Response]:
    everyone = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(
        base_url=user.http.base_url, headers={**user.http.headers, **headers}, limits=everyone, timeout=20, verify=False
    ) as client:
        sending = (client.post(user.tasks, json={"title": f"task {number}"}) for number in range(count))
        return list(await asyncio.gather(*sending))


def test_fifty_concurrent_creates_all_succeed(fresh_database: Database) -> None:
    with serve(fresh_database.url) as service, sign_up(service.url) as user:
        answers = asyncio.run(_at_once(user, 50))
        assert [a.status_code for a in answers] == [201] * 50
        assert len({a.json()["id"] for a in answers}) == 50
        assert len(user.list()) == 50
        assert len(service.connections()) <= 20


def test_saturation_sheds_within_the_acquire_timeout_and_recovers(fresh_database: Database) -> None:
    """Somebody holds a lock on the table, so that two writers keep both connections."""
    with (
        serve(fresh_database.url, DB_POOL_MIN="1", DB_POOL_MAX="2", DB_STATEMENT_TIMEOUT_SECONDS="2") as service,
        sign_up(service.url) as user,
    ):
        with held(fresh_database.url, LOCK):
            began_at = time.monotonic()
            answers = asyncio.run(_at_once(user, 10))
            took = time.monotonic() - began_at
        codes = [a.json()["code"] for a in answers]
        assert {a.status_code for a in answers} == {503}
        assert all(a.headers["retry-after"] == "1" for a in answers)
        assert codes.count("pool_exhausted") == 8
        assert codes.count("database_timeout") == 2
        assert took < 6.0
        assert service.metric("db_pool_acquire_timeouts_total") == 8
        eventually(lambda: service.metric(IN_USE) == 0)
        assert [a.status_code for a in asyncio.run(_at_once(user, 10))] == [201] * 10


def test_idle_connections_go_and_a_burst_brings_them_back(fresh_database: Database) -> None:
    settings = {"DB_POOL_MIN": "2", "DB_POOL_MAX": "8", "DB_CONNECTION_MAX_IDLE_SECONDS": "1"}
    with serve(fresh_database.url, **settings) as service, sign_up(service.url) as user:
        assert {a.status_code for a in asyncio.run(_at_once(user, 40))} == {201}
        grown = service.metric("db_pool_connections_opened_total")
        assert 4 <= grown <= 8
        eventually(lambda: service.metric(IDLE) == 2)
        eventually(lambda: len(service.connections()) == 2)
        opened = service.metric("db_pool_connections_opened_total")  # some came when the burst was over
        assert service.metric('db_pool_connections_closed_total{reason="max_idle"}') == opened - 2
        assert {a.status_code for a in asyncio.run(_at_once(user, 40))} == {201}
        assert service.metric("db_pool_connections_opened_total") > opened


def test_old_connections_are_replaced_without_a_failed_request(fresh_database: Database) -> None:
    settings = {"DB_POOL_MIN": "2", "DB_POOL_MAX": "4", "DB_CONNECTION_MAX_AGE_SECONDS": "1"}
    with serve(fresh_database.url, **settings) as service, sign_up(service.url) as user:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            user.create()
            time.sleep(0.01)
        assert service.metric('db_pool_connections_closed_total{reason="max_age"}') >= 2
        assert service.metric('db_pool_connections_closed_total{reason="lost"}') == 0


def test_the_gauges_say_what_the_server_sees(fresh_database: Database) -> None:
    with (
        serve(fresh_database.url, DB_STATEMENT_TIMEOUT_SECONDS="10") as service,
        sign_up(service.url) as user,
        ThreadPoolExecutor(1) as threads,
        held(fresh_database.url, LOCK),
    ):
        creating = threads.submit(asyncio.run, _at_once(user, 12))
        eventually(lambda: service.metric(IN_USE) >= 12)
        eventually(lambda: [state for state, _ in service.connections()].count("active") == 12)
        seen = service.connections()
        counted = service.metric(IN_USE) + service.metric(IDLE)
    assert {a.status_code for a in creating.result()} == {201}
    assert counted == len(seen)
