"""One user who asks for more than there is, beside others, on a small pool: whoever else comes is served at once."""

import asyncio

import httpx
import pytest

from tests.support.database import Database, held
from tests.support.drill import eventually
from tests.support.server import Service, serve
from tests.support.users import User, sign_up

LOCK = "BEGIN; SELECT FROM tasks FOR UPDATE"
REQUESTS = 60


async def _beside_noise(service: Service, noisy: User, other: User, third: User) -> list[int]:
    """What the third gets while each request of the two others waits for a row, and keeps what it has."""
    everyone = httpx.Limits(max_connections=REQUESTS + 1, max_keepalive_connections=REQUESTS + 1)
    async with httpx.AsyncClient(base_url=service.url, limits=everyone, timeout=20, verify=False) as client:

        def toggle(user: User) -> asyncio.Task[httpx.Response]:
            path = f"{user.path(user.list()[0])}/complete"
            return asyncio.create_task(client.patch(path, headers=dict(user.http.headers)))

        async def until(sample: str, least: int) -> None:
            await asyncio.to_thread(eventually, lambda: service.metric(sample) >= least)

        waiting = [toggle(other)]
        await until("http_requests_in_progress", 1)
        waiting += [toggle(noisy) for _ in range(REQUESTS)]
        await until("http_requests_in_progress", REQUESTS // 4)
        answers = [(await client.get(third.tasks, headers=dict(third.http.headers))).status_code for _ in range(5)]
        assert not waiting[0].done(), "else the noisy one was alone"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return answers


@pytest.mark.parametrize("pool", [3, 4])
def test_a_noisy_user_takes_nothing_from_the_others(fresh_database: Database, pool: int) -> None:
    settings = {"DB_POOL_MIN": "1", "DB_POOL_MAX": str(pool), "DB_STATEMENT_TIMEOUT_SECONDS": "30"}
    with (
        serve(fresh_database.url, **settings) as service,
        sign_up(service.url) as noisy,
        sign_up(service.url) as other,
        sign_up(service.url) as third,
    ):
        for user in (noisy, other):
            user.create()
        with held(fresh_database.url, LOCK):
            assert asyncio.run(_beside_noise(service, noisy, other, third)) == [200] * 5
