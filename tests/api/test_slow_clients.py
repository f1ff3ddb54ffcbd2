"""Slow clients hold nobody, and nobody holds a share for ever."""

import asyncio
import statistics
import time

import httpx

from tests.support.server import Service
from tests.support.users import User

CUT_WITHIN_SECONDS = 15.0
IDLE_CONNECTIONS = 1000


async def drip(service: Service, start: bytes, drop: bytes) -> tuple[float, bytes]:
    """Send `start`, then `drop` again and again. Returns when the server had enough, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(start)
    began = time.monotonic()
    answer = b""
    try:
        while time.monotonic() - began < CUT_WITHIN_SECONDS + 5:
            try:
                answer += await asyncio.wait_for(reader.read(4096), 0.5)
                if reader.at_eof():
                    break
            except TimeoutError:
                writer.write(drop)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - began, answer


async def test_a_request_that_drips_in_is_cut_with_a_408(service: Service, user: User) -> None:
    head = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Drip: "
    body = (
        f"POST {user.tasks} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    ).encode()
    answers = await asyncio.gather(drip(service, head, b"x"), drip(service, body, b"x"))
    for seconds, answer in answers:
        assert seconds < CUT_WITHIN_SECONDS
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer
    assert await asyncio.to_thread(user.list) == []
    assert service.metric("http_requests_in_progress") == 0


async def test_a_thousand_idle_connections_change_nothing_for_the_others(service: Service, user: User) -> None:
    async def median() -> float:
        async with httpx.AsyncClient(base_url=service.url, headers=dict(user.http.headers)) as client:
            times = []
            for _ in range(60):
                began = time.perf_counter()
                assert (await client.get(user.tasks)).status_code == 200
                times.append(time.perf_counter() - began)
        return statistics.median(times)

    alone = await median()
    idle = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(IDLE_CONNECTIONS)]
    try:
        crowded = await median()
    finally:
        for _, writer in idle:
            writer.close()
    assert crowded < 3 * alone + 0.005
