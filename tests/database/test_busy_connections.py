"""How many connections are in use at once: few while they are quick, all of them when they are slow or held up."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry

from service.background import Background
from service.database.lender import BUSY_PREFERRED
from service.database.pool import Pool, PoolOptions, Statement
from service.database.url import parse_database_url
from service.problems import PoolExhausted
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from tests.support.database import Database
from tests.support.drill import until

MAXIMUM = BUSY_PREFERRED + 6
QUICK = Statement("quick", "SELECT 1")
SLOW = Statement("slow", "SELECT pg_sleep($1::float8)")


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    registry = CollectorRegistry()
    options = PoolOptions(parse_database_url(database.url), minimum=2, maximum=MAXIMUM, acquire_timeout=1.0)
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    yield pool
    await until(lambda: pool.in_use() == 0)
    assert pool.waiting() == 0
    await pool.close()


async def test_quick_statements_share_few_connections(pool: Pool) -> None:
    most = 0

    async def client() -> None:
        nonlocal most
        for _ in range(20):
            await pool.fetch(QUICK)
            most = max(most, pool.in_use())

    await asyncio.gather(*(client() for _ in range(5 * MAXIMUM)))
    # A machine that is busy with something else makes some of them slow.
    assert most < MAXIMUM
    assert pool.in_use() == 0


async def test_slow_statements_get_all_connections(pool: Pool) -> None:
    tasks = [asyncio.create_task(pool.fetch(SLOW, 0.5)) for _ in range(MAXIMUM + 2)]
    await until(lambda: pool.in_use() == MAXIMUM)
    assert pool.waiting() == 2
    await asyncio.gather(*tasks)


async def test_whoever_comes_while_the_preferred_ones_are_held_up_waits_a_moment(pool: Pool) -> None:
    """Whether another connection has to be opened for it first, or is there."""
    lent = [await pool.acquire() for _ in range(BUSY_PREFERRED)]
    for _ in range(2):
        began_at = monotonic()
        assert await pool.fetchrow(QUICK) is not None
        assert monotonic() - began_at < 1.0
    assert len({id(connection) for connection in lent}) == BUSY_PREFERRED
    for connection in lent:
        pool.give_back(connection)


async def test_all_of_them_can_be_lent_and_no_more(pool: Pool) -> None:
    lent = [await pool.acquire() for _ in range(MAXIMUM)]
    with pytest.raises(PoolExhausted):
        await pool.acquire()
    for connection in lent:
        pool.give_back(connection)


async def test_who_gives_up_while_it_waits_takes_no_place(pool: Pool) -> None:
    lent = [await pool.acquire() for _ in range(BUSY_PREFERRED)]
    waiting = [asyncio.create_task(pool.fetch(QUICK)) for _ in range(MAXIMUM)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for connection in lent:
        pool.give_back(connection)
    assert await pool.fetchrow(QUICK) is not None
