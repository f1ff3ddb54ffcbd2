"""Clients that do what real ones do, for a bounded time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import httpx

from tests.support.streams import Reader
from tests.support.users import User


def use(user: User, seconds: float) -> int:
    """One client that reads more than it writes, follows its changes as a stream, and errs now and then.

    Returns how many requests it made, without the stream.
    """
    made = 0
    deadline = time.monotonic() + seconds
    with Reader(str(user.http.base_url), user):
        while time.monotonic() < deadline:
            for _ in _round(user):
                made += 1
                time.sleep(0.01)
    return made


def _round(user: User) -> Iterator[httpx.Response]:
    client = user.http
    path = user.path(user.create("water the plants"))
    for _ in range(3):
        yield client.get(user.tasks, params={"limit": 20})
        yield client.get(path)
    yield client.patch(f"{path}/complete")
    yield client.put(path, json={"title": "water them well"})
    yield client.post(user.tasks, json={"title": ""})
    yield client.get(user.tasks, headers={"Authorization": "Bearer none"})
    yield client.get("/nowhere")
    yield client.delete(path)


@asynccontextmanager
async def crowd(user: User, parameters: dict[str, str], *, clients: int, pause_seconds: float) -> AsyncIterator[None]:
    """List with `clients` at once, each resting between its requests, until the block ends."""
    limits = httpx.Limits(max_connections=clients)
    url, headers = str(user.http.base_url), dict(user.http.headers)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10, limits=limits, verify=False) as client:

        async def read() -> None:
            while True:
                with suppress(httpx.TransportError):
                    await client.get(user.tasks, params=parameters)
                await asyncio.sleep(pause_seconds)

        readers = [asyncio.create_task(read()) for _ in range(clients)]
        try:
            yield
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


@asynccontextmanager
async def tasks_locked(dsn: str) -> AsyncIterator[None]:
    """Hold the lock that ALTER TABLE would hold: every statement on the table waits."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def fail_once(user: User, dsn: str) -> int:
    """Ask while the table is locked, until the statement's time is over. Returns the status."""
    async with tasks_locked(dsn):
        answer = await asyncio.to_thread(user.http.get, user.tasks)
    return answer.status_code
