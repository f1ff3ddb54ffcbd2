"""A login tells nothing by its time, and many at once do not exhaust the process."""

import asyncio
import statistics
import time
from collections.abc import Callable

import httpx

from tests.support.database import Database
from tests.support.server import Service, resident_bytes
from tests.support.users import sign_up

UNLIMITED = {"LOGIN_ATTEMPTS_PER_MINUTE": "10000", "FAILED_LOGINS_PER_ADDRESS_PER_MINUTE": "10000"}
ROUNDS = 15
AT_ONCE = 50
MEMORY_MAX = 200 * 1024 * 1024
ALIKE = 1.6


def test_unknown_existing_and_empty_take_the_same_time(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    server = start_service(fresh_database.url, **UNLIMITED)
    with sign_up(server.url) as user, httpx.Client(base_url=server.url, timeout=20, verify=False) as client:
        kinds = {
            "existing": {"email": user.email, "password": "wrong"},
            "unknown": {"email": "nobody@example.com", "password": "wrong"},
            "empty": {"email": user.email, "password": ""},
        }
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine hits all of them
            for kind, body in kinds.items():
                began = time.perf_counter()
                assert client.post("/api/auth/login", json=body).status_code == 401
                times[kind].append(time.perf_counter() - began)
    medians = [statistics.median(found) for found in times.values()]
    assert max(medians) < ALIKE * min(medians), times


async def test_fifty_logins_at_once_leave_the_process_small_and_alive(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    server = await asyncio.to_thread(start_service, fresh_database.url, **UNLIMITED)
    with await asyncio.to_thread(sign_up, server.url) as user:
        body = {"email": user.email, "password": "wrong"}
        async with httpx.AsyncClient(
            timeout=30, limits=httpx.Limits(max_connections=AT_ONCE + 1), verify=False
        ) as client:
            url = f"{server.url}/api/auth/login"
            logins = [asyncio.create_task(client.post(url, json=body)) for _ in range(AT_ONCE)]
            assert server.process is not None
            largest, slowest = 0, 0.0
            while not all(login.done() for login in logins):
                began = time.perf_counter()
                assert (await client.get(f"{server.admin_url}/livez")).status_code == 200
                slowest = max(slowest, time.perf_counter() - began)
                largest = max(largest, resident_bytes(server.process.pid))
                await asyncio.sleep(0.02)
            answers = [login.result().status_code for login in logins]
    assert answers == [401] * AT_ONCE
    assert largest < MEMORY_MAX
    assert slowest < 2.0
