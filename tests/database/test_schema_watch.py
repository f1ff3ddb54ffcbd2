"""Readiness comes back whatever befalls the look at the schema."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.background import Background
from service.database import revisions, schema_watch
from service.database.pool import Pool, PoolOptions
from service.database.schema_watch import Schema, SchemaWatch
from service.database.url import parse_database_url
from service.telemetry.metrics import Metrics
from tests.support.database import Database
from tests.support.drill import until


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    metrics = Metrics(slo_latency_seconds=0.2, version="test", commit="test")
    pool = Pool(PoolOptions(parse_database_url(database.url)), metrics.database, Background(metrics.background))
    await pool.open()
    yield pool
    await pool.close()


async def test_a_look_that_ends_in_a_bug_is_repeated(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_watch, "INTERVAL_SECONDS", 0.1)
    metrics = Metrics(slo_latency_seconds=0.2, version="test", commit="test")
    background = Background(metrics.background)
    schema = Schema(expected=max(r.number for r in revisions.files()))
    await SchemaWatch(schema, pool, background, metrics).start()
    assert schema.whole()
    with monkeypatch.context() as broken:
        bugs: list[object] = []

        async def fail(*arguments: Any) -> None:
            bugs.append(arguments)
            raise RuntimeError("a bug")

        broken.setattr(pool, "fetch", fail)
        assert pool.on_schema_fault is not None
        pool.on_schema_fault()
        await until(lambda: bugs)
        assert not schema.whole()
    await until(schema.whole)
    await background.stop(1)
