"""One user who asks as fast as can be, on a pool of any size: the others are served all the same."""

import asyncio
import contextlib

import httpx
import pytest

from tests.support.database import Database
from tests.support.drill import pick
from tests.support.server import serve
from tests.support.users import User, sign_up

CONNECTIONS = 60
REQUESTS = pick(25, 500)


async def _noise(user: User) -> None:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(
        base_url=user.http.base_url, headers=user.http.headers, limits=limits, timeout=20
    ) as client:

        async def ask() -> None:
            while True:
                await client.get(user.tasks)

        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))


async def _beside_noise(noisy: User, other: User) -> list[int]:
    noise = asyncio.create_task(_noise(noisy))
    async with httpx.AsyncClient(base_url=other.http.base_url, headers=other.http.headers, timeout=20) as client:
        await asyncio.sleep(0.5)  # for the noise to fill whatever it can fill
        answers = [await client.get(other.tasks, params={"limit": 1}) for _ in range(REQUESTS)]
    noise.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await noise
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_a_noisy_user_takes_nothing_from_the_others(fresh_database: Database, pool: int) -> None:
    settings = {"DB_POOL_MIN": "1", "DB_POOL_MAX": str(pool)}
    with serve(fresh_database.url, **settings) as service, sign_up(service.url) as noisy, sign_up(service.url) as other:
        fresh_database.query(
            "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), id, 'x' FROM users,"
            " generate_series(1, 100) WHERE email = $1",
            noisy.email,
        )
        assert asyncio.run(_beside_noise(noisy, other)) == [200] * REQUESTS
