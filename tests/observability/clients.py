"""Clients that do what real ones do, for a bounded time."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import httpx


@dataclass(frozen=True)
class Account:
    user_id: str
    headers: dict[str, str]

    @property
    def tasks(self) -> str:
        return f"/api/{self.user_id}/tasks"


def sign_up(api: str) -> Account:
    credentials = {"email": f"{uuid4().hex}@example.com", "password": "a long enough password"}
    answer = httpx.post(f"{api}/api/auth/signup", json=credentials, timeout=10)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    body = answer.json()
    return Account(body["user"]["id"], {"Authorization": f"Bearer {body['access_token']}"})


def use(api: str, account: Account, seconds: float) -> int:
    """One client that reads more than it writes, and errs now and then. Returns how many requests it made."""
    made = 0
    deadline = time.monotonic() + seconds
    with httpx.Client(base_url=api, timeout=10) as client:
        while time.monotonic() < deadline:
            for _ in _round(client, account):
                made += 1
                time.sleep(0.01)
    return made


def _round(client: httpx.Client, account: Account) -> Iterator[httpx.Response]:
    headers, tasks = account.headers, account.tasks
    created = client.post(tasks, json={"title": "Water the plants"}, headers=headers)
    yield created
    task = f"{tasks}/{created.json()['id']}"
    for _ in range(3):
        yield client.get(tasks, params={"limit": 20}, headers=headers)
        yield client.get(task, headers=headers)
    yield client.patch(f"{task}/complete", headers=headers)
    yield client.put(task, json={"title": "Water them well"}, headers=headers)
    yield client.post(tasks, json={"title": ""}, headers=headers)
    yield client.get(tasks)
    yield client.get("/nowhere")
    yield client.delete(task, headers=headers)


@dataclass
class Crowd:
    """Concurrent readers in the background: how many answers of each status they got."""

    statuses: dict[int, int]
    lost: int = 0


@asynccontextmanager
async def crowd(api: str, account: Account, *, clients: int, pause: float) -> AsyncIterator[Crowd]:
    """Read with `clients` at once, each resting `pause` seconds between requests, until the block ends."""
    seen = Crowd({})
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=api, timeout=10, limits=limits) as client:

        async def read() -> None:
            while True:
                try:
                    answer = await client.get(account.tasks, params={"limit": 20}, headers=account.headers)
                    seen.statuses[answer.status_code] = seen.statuses.get(answer.status_code, 0) + 1
                except httpx.TransportError:
                    seen.lost += 1
                await asyncio.sleep(pause)

        readers = [asyncio.create_task(read()) for _ in range(clients)]
        try:
            yield seen
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


async def fail_once(api: str, dsn: str, account: Account) -> int:
    """Ask while the table is locked, until the statement's time is over. Returns the status."""
    async with tasks_locked(dsn), httpx.AsyncClient(base_url=api, timeout=10) as client:
        answer = await client.get(account.tasks, headers=account.headers)
    return answer.status_code
