"""Commits without an answer are told from statements that wait for something else."""

import asyncio
from uuid import uuid4

from prometheus_client import CollectorRegistry

from service.background import Background
from service.database.pool import Pool, PoolOptions, Statement
from service.database.session import limits
from service.database.url import parse_database_url
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from tests.support.database import Database, connected
from tests.support.drill import until

SIZE = 6
"""One more than the commits without an answer that have writes refused."""

STATEMENT_SECONDS = 2.0
RENAME = Statement("test_rename", "UPDATE users SET name = 'x' WHERE id = $1 RETURNING id")


async def test_clients_that_leave_a_write_that_waits_for_a_lock_have_nobodys_writes_refused(database: Database) -> None:
    registry = CollectorRegistry()
    options = PoolOptions(
        parse_database_url(database.url),
        minimum=SIZE,
        maximum=SIZE,
        statement_timeout=STATEMENT_SECONDS,
        server_settings=limits(STATEMENT_SECONDS),
    )
    pool = Pool(options, DatabaseMetrics(registry), Background(BackgroundMetrics(registry)))
    await pool.open()
    await until(lambda: pool.idle() == SIZE)
    user_id = uuid4()
    async with connected(database.url) as other:
        await other.execute("INSERT INTO users (id, email, password_hash) VALUES ($1, $2, '')", user_id, str(user_id))
        async with other.transaction():
            await other.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", user_id)
            writes = [asyncio.create_task(pool.fetch(RENAME, user_id)) for _ in range(SIZE)]
            await asyncio.sleep(0.2)
            for write in writes:
                write.cancel()
            await asyncio.gather(*writes, return_exceptions=True)
            await until(lambda: pool.idle() == SIZE)
    assert await pool.fetch(RENAME, user_id), "else refused with database_timeout"
    assert registry.get_sample_value("db_pool_connections_closed_total", {"reason": "broken"}) in (None, 0)
    await pool.close()
