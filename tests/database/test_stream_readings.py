"""Streams of one user that open while others are read for: without notifications, the clock alone tells what is new."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from service.background import Background
from service.database.pool import Pool, PoolOptions
from service.database.url import parse_database_url
from service.identifiers import uuid7
from service.tasks.changes import Changes, SyncTokens, read_position
from service.tasks.signing import Signer
from service.tasks.streaming import Streaming
from service.tasks.streams import Reader, Stream
from service.telemetry.background_metrics import BackgroundMetrics
from service.telemetry.metrics import DatabaseMetrics
from service.telemetry.stream_metrics import StreamMetrics
from tests.support.database import Database, connected
from tests.support.drill import until

RETENTION_SECONDS = 3600.0


class Following:
    """The streams of one user in this process, without clients: what would be written to one is counted."""

    def __init__(self, pool: Pool, streaming: Streaming, user_id: UUID) -> None:
        self._pool = pool
        self._streaming = streaming
        self._user_id = user_id

    @contextmanager
    def place(self) -> Iterator[tuple[Reader, int]]:
        """As the route does it: how often the reader was woken is noted before the position is read."""
        with self._streaming.streams.place(self._user_id) as reader:
            yield reader, reader.wakes

    async def position(self) -> Changes:
        return await read_position(self._pool, self._user_id, retention_seconds=RETENTION_SECONDS)

    def begin(self, reader: Reader, page: Changes, wakes: int) -> Stream:
        stream = Stream(self._streaming.streams, reader, page.position, behind=False, limit=16, request_id="-")
        self._streaming.streams.add(stream, expires_at=time.time() + 60)
        self._streaming.delivery.begin(stream, page, wakes=wakes)
        return stream

    async def open(self) -> Stream:
        with self.place() as (reader, wakes):
            return self.begin(reader, await self.position(), wakes)

    def wake(self, reader: Reader) -> None:
        self._streaming.delivery.wake(reader)


@pytest.fixture
async def user(database: Database) -> AsyncIterator[UUID]:
    user_id = uuid7()
    async with connected(database.url) as connection:
        await connection.execute(
            "INSERT INTO users (id, email, password_hash) VALUES ($1, $2, '-')", user_id, f"{user_id}@example.com"
        )
        yield user_id


@pytest.fixture
async def following(database: Database, user: UUID) -> AsyncIterator[Following]:
    registry = CollectorRegistry()
    background = Background(BackgroundMetrics(registry))
    pool = Pool(PoolOptions(parse_database_url(database.url), minimum=1), DatabaseMetrics(registry), background)
    await pool.open()
    tokens = SyncTokens(Signer(b"key"), retention_seconds=RETENTION_SECONDS)
    metrics = StreamMetrics(registry)
    streaming = Streaming(pool, tokens, metrics, per_user_max=10, streams_max=10, listen=None)
    streaming.start(background)
    yield Following(pool, streaming, user)
    await streaming.drain()
    await background.stop(1)
    await pool.close()


async def change(connection: asyncpg.Connection, user: UUID) -> None:
    await connection.execute("INSERT INTO tasks (id, user_id, title) VALUES ($1, $2, 'new')", uuid7(), user)


async def test_a_stream_that_opens_behind_another_is_read_for(
    database: Database, following: Following, user: UUID
) -> None:
    """What changes between its reading and its beginning is known of the other one, and so no news to the clock."""
    first = await following.open()
    following.wake(first.reader)
    await until(lambda: first.reader.not_before > asyncio.get_running_loop().time())
    following.wake(first.reader)  # read for in 50 ms
    with following.place() as (reader, wakes):
        page = await following.position()
        async with connected(database.url) as connection:
            await change(connection, user)
        await until(lambda: first.events == 1)
        second = following.begin(reader, page, wakes)
    await until(lambda: second.events == 1)


async def test_a_stream_that_opens_during_anothers_reading_is_read_for(
    database: Database, following: Following, user: UUID
) -> None:
    first = await following.open()
    async with connected(database.url) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE deleted_tasks")
            following.wake(first.reader)
            await until(lambda: not first.reader.due)  # the reading is under way, and waits for the lock
            second = await following.open()
            await change(connection, user)
        await until(lambda: first.events == 1)
    await until(lambda: second.events == 1)
