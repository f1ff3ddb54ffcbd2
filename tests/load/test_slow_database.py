"""The way to PostgreSQL on which every answer takes its time."""

import asyncio
import os
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from loadtests.slow_database import slowed
from tests.support.database import SERVER, run_sql
from tests.support.drill import eventually

DELAY_SECONDS = 0.1


def _socket() -> Path:
    """Of the server that the tests share."""
    (folder,) = parse_qs(urlsplit(os.environ[SERVER]).query)["host"]
    return Path(folder) / ".s.PGSQL.5432"


async def test_each_answer_is_late_and_whole() -> None:
    with slowed(_socket(), DELAY_SECONDS) as port:
        connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
        began = time.monotonic()
        rows = await connection.fetch("SELECT n FROM generate_series(1, 50000) n")
        assert time.monotonic() - began >= DELAY_SECONDS
        assert [row["n"] for row in rows] == list(range(1, 50_001))
        await connection.close()


async def test_a_client_that_is_gone_leaves_nothing_behind() -> None:
    with slowed(_socket(), DELAY_SECONDS) as port:
        connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        connection.terminate()
        count = "SELECT count(*) AS n FROM pg_stat_activity WHERE pid = $1"
        await asyncio.to_thread(eventually, lambda: run_sql(os.environ[SERVER], count, pid)[0]["n"] == 0)
