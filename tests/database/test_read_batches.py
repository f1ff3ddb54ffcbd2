"""Reads that share a statement: each caller gets what it would have got alone, whatever befalls the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service import deadlines
from service.background import Background
from service.database.pool import Pool, PoolOptions, Statement
from service.database.read_batches import CALLERS_MAX, HEAVY_BYTES, HEAVY_SECONDS, LARGE_CALLERS_MAX
from service.database.statement import shared_read
from service.database.url import parse_database_url
from service.problems import DatabaseSlow, DatabaseUnavailable, PoolExhausted
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from tests.support.database import Database
from tests.support.drill import until

SIZE = 3
STATEMENT_SECONDS = 2.0
ACQUIRE_SECONDS = 1.0
LONG = 0.3
"""Seconds: what others have to be faster than."""


def _quotient(*, number: str, seconds: str) -> str:
    """After so many seconds; no number can be divided by 0."""
    return f"SELECT 60 / {number} AS quotient, n FROM generate_series(1, 2) n, (SELECT pg_sleep({seconds})) AS slept"


QUOTIENT = shared_read("quotient", _quotient, number="int", seconds="float8")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def pool(database: Database, registry: CollectorRegistry) -> AsyncIterator[Pool]:
    options = PoolOptions(
        parse_database_url(database.url),
        minimum=SIZE,
        maximum=SIZE,
        acquire_timeout=ACQUIRE_SECONDS,
        statement_timeout=STATEMENT_SECONDS,
    )
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    await until(lambda: pool.idle() == SIZE)
    yield pool
    await until(lambda: pool.idle() == SIZE)
    assert (pool.waiting(), pool.in_use()) == (0, 0)
    await pool.close()


async def quotients(pool: Pool, number: int, seconds: float = 0.0) -> list[tuple[int, int]]:
    return [(row["quotient"], row["n"]) for row in await pool.fetch(QUOTIENT, number, seconds)]


def right(number: int) -> list[tuple[int, int]]:
    return [(60 // number, 1), (60 // number, 2)]


async def turns_until(condition: Callable[[], bool]) -> None:
    """Within the turn of the loop in which it comes true: `until` looks too seldom."""
    while not condition():  # noqa: ASYNC110  there is no event to wait for
        await asyncio.sleep(0)


async def under_way(pool: Pool, seconds: float) -> asyncio.Task[list[tuple[int, int]]]:
    """A read that has reached PostgreSQL, so that those that come now wait for the next statement."""
    task = asyncio.create_task(quotients(pool, 1, seconds))
    await turns_until(lambda: pool.in_use() > 0)
    return task


def statements(registry: CollectorRegistry) -> tuple[float, float]:
    """How many there were, and how many callers they had."""
    labels = {"operation": "quotient"}
    count = registry.get_sample_value("db_read_batch_size_count", labels)
    callers = registry.get_sample_value("db_read_batch_size_sum", labels)
    return count or 0.0, callers or 0.0


async def test_quiet_reads_go_alone(pool: Pool, registry: CollectorRegistry) -> None:
    for number in (1, 2, 3):
        assert await quotients(pool, number) == right(number)
    assert statements(registry) == (3, 3)
    assert registry.get_sample_value("db_query_seconds_count", {"operation": "quotient"}) == 3


async def test_reads_that_arrive_together_share_a_statement(pool: Pool, registry: CollectorRegistry) -> None:
    numbers = [1 + n % 30 for n in range(CALLERS_MAX)]
    first = await under_way(pool, 0.05)
    assert await asyncio.gather(*(quotients(pool, number) for number in numbers)) == [right(n) for n in numbers]
    assert await first == right(1)
    assert statements(registry) == (2, 1 + CALLERS_MAX)
    assert registry.get_sample_value("db_query_seconds_count", {"operation": "quotient"}) == 2
    assert registry.get_sample_value("db_pool_acquire_seconds_count") == 1 + CALLERS_MAX


async def test_more_than_fit_take_another_statement(pool: Pool, registry: CollectorRegistry) -> None:
    first = await under_way(pool, 0.05)
    numbers = [1 + n % 30 for n in range(2 * CALLERS_MAX + 1)]
    assert await asyncio.gather(*(quotients(pool, number) for number in numbers)) == [right(n) for n in numbers]
    await first
    assert statements(registry) == (4, 2 + 2 * CALLERS_MAX)


async def test_what_is_large_goes_alone_for_a_while(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool bounds how much of it is in memory at once."""
    large = shared_read(
        "large",
        large=True,
        write=lambda *, size: f"SELECT decode(repeat('00', {size}), 'hex'), pg_sleep(0.01)",
        size="int",
    )
    sizes = pool.metrics.batch_size("large")

    async def statements_for(count: int, size: int) -> float:
        before = sizes._buckets[0].value
        rows = await asyncio.gather(*(pool.fetch(large, size) for _ in range(count)))
        assert [len(row[0]) for (row,) in rows] == [size] * count
        return float(sizes._buckets[0].value - before)

    together = 1 + LARGE_CALLERS_MAX
    assert await statements_for(together, HEAVY_BYTES) == 1, "the first of them, and all the others together"
    assert await statements_for(together, HEAVY_BYTES + 1) == 1, "the others did not wait for each other any more"
    assert await statements_for(together, 1) == together
    monkeypatch.setattr("service.database.read_batches.monotonic", lambda: monotonic() + HEAVY_SECONDS)
    assert await statements_for(together, 1) == 1


async def test_large_reads_that_are_overdue_go_alone(pool: Pool) -> None:
    """As many statements for several of them as there are waits of 20 ms would be more than memory can hold."""

    def write(*, seconds: str) -> str:
        return f"SELECT 'x'::bytea, pg_sleep({seconds})"

    large = shared_read("large", write, large=True, seconds="float8")
    slow = asyncio.create_task(pool.fetch(large, LONG))
    await turns_until(lambda: pool.in_use() > 0)
    before = pool.metrics.batch_size("large")._sum.value
    await asyncio.gather(*(pool.fetch(large, 0.0) for _ in range(LARGE_CALLERS_MAX)))
    assert not slow.done()
    assert pool.metrics.batch_size("large")._sum.value == before
    await slow


async def test_nobody_waits_for_a_slow_statement(pool: Pool) -> None:
    slow = await under_way(pool, LONG)
    assert list(await asyncio.gather(quotients(pool, 2), quotients(pool, 3))) == [right(2), right(3)]
    assert not slow.done()
    assert await slow == right(1)


async def test_a_slow_companion_costs_nobody_more_than_the_statements_time(pool: Pool) -> None:
    first = await under_way(pool, 0.05)
    began_at = monotonic()
    slow, quick = asyncio.create_task(quotients(pool, 2, 60)), asyncio.create_task(quotients(pool, 3))
    assert await quick == right(3)
    assert monotonic() - began_at < STATEMENT_SECONDS + 1
    with pytest.raises(DatabaseSlow):
        await slow
    await first


async def test_a_caller_has_no_more_time_than_alone(pool: Pool, registry: CollectorRegistry) -> None:
    """It has waited elsewhere before, for its slot, and what is left for a connection is soon over."""
    lent = [await pool.acquire() for _ in range(SIZE)]

    async def late() -> float:
        deadlines.begin()
        deadlines.add_wait(ACQUIRE_SECONDS * 0.8)
        began_at = monotonic()
        with pytest.raises(PoolExhausted):
            await quotients(pool, 2)
        return monotonic() - began_at

    early = [asyncio.create_task(quotients(pool, number)) for number in (1, 2)]
    await until(lambda: pool.waiting() >= 2)
    assert await asyncio.create_task(late()) < ACQUIRE_SECONDS * 0.8
    for connection in lent:
        pool.give_back(connection)
    assert await asyncio.gather(*early) == [right(1), right(2)]
    assert registry.get_sample_value("db_pool_acquire_timeouts_total") == 1


async def test_who_gets_no_connection_hears_of_it_in_time_and_is_counted(
    pool: Pool, registry: CollectorRegistry
) -> None:
    lent = [await pool.acquire() for _ in range(SIZE)]
    began_at = monotonic()
    results = await asyncio.gather(*(quotients(pool, n) for n in range(1, 11)), return_exceptions=True)
    assert [type(result) for result in results] == [PoolExhausted] * 10
    assert ACQUIRE_SECONDS <= monotonic() - began_at < ACQUIRE_SECONDS * 2
    assert registry.get_sample_value("db_pool_acquire_timeouts_total") == 10
    for connection in lent:
        pool.give_back(connection)
    assert await quotients(pool, 2) == right(2)


async def test_a_fault_is_its_callers_alone(pool: Pool) -> None:
    first = await under_way(pool, 0.05)
    numbers = [2, 0, 3, 0, 5]
    results = await asyncio.gather(*(quotients(pool, number) for number in numbers), return_exceptions=True)
    assert [r for r in results if not isinstance(r, BaseException)] == [right(n) for n in numbers if n]
    assert [type(r).__name__ for r in results if isinstance(r, BaseException)] == ["Invalid", "Invalid"]
    await first


async def test_what_the_driver_cannot_send_is_its_callers_fault_alone(pool: Pool) -> None:
    first = await under_way(pool, 0.05)
    no_number: Any = "many"
    callers = [quotients(pool, 2), quotients(pool, no_number), quotients(pool, 3)]
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(results[1], Exception)
    assert [results[0], results[2]] == [right(2), right(3)]
    await first


async def test_who_leaves_takes_nobody_along(pool: Pool) -> None:
    first = await under_way(pool, 0.05)
    callers = [asyncio.create_task(quotients(pool, number, 0.05)) for number in (1, 2, 3, 4)]
    await asyncio.sleep(0)
    callers[0].cancel()  # still in the queue
    await first
    await turns_until(lambda: pool.waiting() == 0)
    callers[2].cancel()  # its statement is under way
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(results[0]), type(results[2])] == [asyncio.CancelledError] * 2
    assert [results[1], results[3]] == [right(2), right(4)]


async def test_when_all_have_left_the_next_are_served(pool: Pool) -> None:
    first = await under_way(pool, 0.05)
    callers = [asyncio.create_task(quotients(pool, 2)) for _ in range(4)]
    await asyncio.sleep(0)
    for caller in (first, *callers):
        caller.cancel()
    await asyncio.gather(first, *callers, return_exceptions=True)
    assert await quotients(pool, 3) == right(3)


async def test_a_connection_that_is_lost_costs_a_retry(pool: Pool, database: Database) -> None:
    first = await under_way(pool, 0.05)
    callers = [asyncio.create_task(quotients(pool, number, LONG)) for number in (1, 2, 3)]
    await first
    await turns_until(lambda: pool.waiting() == 0)
    await asyncio.to_thread(
        database.query,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND pid <> pg_backend_pid()",
    )
    assert await asyncio.gather(*callers) == [right(1), right(2), right(3)]


async def test_without_a_database_each_hears_of_it_at_once() -> None:
    registry = CollectorRegistry()
    options = PoolOptions(parse_database_url("postgresql://u@127.0.0.1:1/d"), acquire_timeout=30.0)
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    began_at = monotonic()
    results = await asyncio.gather(*(quotients(pool, n) for n in range(1, 6)), return_exceptions=True)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 5
    assert monotonic() - began_at < 5
    await pool.close()


async def test_a_pool_that_is_closed_leaves_nobody_waiting(database: Database) -> None:
    registry = CollectorRegistry()
    options = PoolOptions(parse_database_url(database.url), maximum=1, acquire_timeout=30.0)
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    first = await under_way(pool, 30)
    callers = [asyncio.create_task(quotients(pool, number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    await pool.close()
    results = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    await asyncio.gather(first, return_exceptions=True)


async def test_in_a_transaction_a_read_sees_what_that_has_done(pool: Pool, database: Database) -> None:
    await asyncio.to_thread(database.query, "CREATE TABLE IF NOT EXISTS numbers (n int)")
    count = shared_read("count", lambda *, least: f"SELECT count(*) FROM numbers WHERE n >= {least}", least="int")
    async with pool.transaction() as transaction:
        await transaction.fetch(Statement("add", "INSERT INTO numbers VALUES ($1)"), 7)
        row = await transaction.fetchrow(count, 1)
        assert row is not None
        assert row[0] == 1
        other = await pool.fetchrow(count, 1)
        assert other is not None
        assert other[0] == 0
