"""A mistake in the pool's own work is seen, and costs no place in the pool."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from service.background import Background
from service.database.connection import Connection, Connector
from service.database.pool import Pool, PoolOptions, Statement
from service.database.url import parse_database_url
from service.problems import DatabaseUnavailable
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from tests.support.database import Database
from tests.support.drill import until

SELECT = Statement("test", "SELECT 1")
SLEEP = Statement("test", "SELECT pg_sleep(60)")
SIZE = 2


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def pool(database: Database, registry: CollectorRegistry) -> AsyncIterator[Pool]:
    options = PoolOptions(parse_database_url(database.url), minimum=SIZE, maximum=SIZE, acquire_timeout=5.0)
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    yield pool
    await pool.close()


async def everything_works(pool: Pool) -> None:
    """Every place of the pool can be lent, at once."""
    await until(lambda: pool.idle() == SIZE)  # it grows back to its minimum by itself
    lent = [await pool.acquire() for _ in range(SIZE)]
    for connection in lent:
        assert await connection.fetchval("SELECT 1") == 1
        pool.give_back(connection)
    assert (pool.idle(), pool.in_use()) == (SIZE, 0)


def failing(error: BaseException) -> Callable[..., object]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


ERRORS = [RuntimeError("a bug"), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS)
async def test_a_repair_that_fails_costs_no_place(
    pool: Pool, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with capture_logs() as events, monkeypatch.context() as broken:
        broken.setattr(Connection, "repair", failing(error))
        for _ in range(2 * SIZE):
            pool.give_back(await pool.acquire(), TimeoutError())
            await until(lambda: pool.idle() > 0)
        await failed(registry, "pool_repair", 2 * SIZE)
    assert [(e["event"], e["task"]) for e in events] == [("background_task_failed", "pool_repair")]
    await everything_works(pool)


@pytest.mark.parametrize("error", ERRORS)
async def test_a_check_that_fails_costs_no_place(
    pool: Pool, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    await everything_works(pool)
    with monkeypatch.context() as broken:
        broken.setattr("service.database.lender.CHECK_AFTER_IDLE_SECONDS", -1.0)
        broken.setattr(Connection, "execute", failing(error))
        waiting = asyncio.create_task(pool.acquire())
        await failed(registry, "pool_check", 1)
    pool.give_back(await waiting)
    await everything_works(pool)


@pytest.mark.parametrize("error", ERRORS)
async def test_an_attempt_to_connect_that_fails_costs_no_place(
    pool: Pool, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    await everything_works(pool)
    with monkeypatch.context() as broken:
        broken.setattr(Connector, "connect", failing(error))
        lent = [await pool.acquire() for _ in range(SIZE)]
        for connection in lent:
            connection.terminate()
            pool.give_back(connection)
        await failed(registry, "pool_open", 1)
    await everything_works(pool)


async def test_maintenance_goes_on_after_a_round_that_failed(
    pool: Pool, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await everything_works(pool)
    with monkeypatch.context() as broken:
        broken.setattr(Pool, "_surplus", lambda *_: 1 / 0)
        await failed(registry, "pool_maintenance", 1)
    for connection in [await pool.acquire() for _ in range(SIZE)]:
        pool.give_back(connection)
    pool.expire()  # only maintenance replaces idle ones by itself
    await until(lambda: registry.get_sample_value("db_pool_connections_closed_total", {"reason": "expired"}) == SIZE)
    await everything_works(pool)


async def test_closing_is_no_failure(pool: Pool, registry: CollectorRegistry) -> None:
    await everything_works(pool)
    with capture_logs() as events:
        hanging = asyncio.create_task(pool.fetch(SLEEP))
        await asyncio.sleep(0.05)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        await pool.close()
    assert events == []
    assert registry.get_sample_value("db_pool_connections_closed_total", {"reason": "shutdown"}) == SIZE
    assert registry.get_sample_value("background_task_failures_total", {"task": "pool_repair"}) == 0


async def failed(registry: CollectorRegistry, task: str, count: int) -> None:
    await until(lambda: (registry.get_sample_value("background_task_failures_total", {"task": task}) or 0) >= count)


async def test_no_request_has_to_fail_to_find_out_that_the_database_is_back(
    database: Database, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the pool keeps no connections: then nothing else would open one."""
    options = PoolOptions(parse_database_url(database.url), minimum=0, maximum=SIZE)
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    with monkeypatch.context() as broken:
        broken.setattr(Connector, "connect", failing(ConnectionRefusedError()))
        connection = await pool.acquire()
        connection.terminate()
        pool.give_back(connection)
        with pytest.raises(DatabaseUnavailable):
            await pool.fetch(SELECT)
    await until(lambda: pool.idle() == 1)
    assert await pool.fetch(SELECT)
    await pool.close()
