"""More requests than can be served in time: the rest gets a 429 or 503, whatever it asked, and nothing is lost."""

import asyncio
import itertools
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson

from tests.support.database import Database, held
from tests.support.drill import eventually
from tests.support.server import serve
from tests.support.users import User, sign_up

LOCK = "BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"
QUEUED = "http_requests_queued"
ORIGIN = "https://app.example"
# Time enough for all to be there before the first is refused, on a busy machine too.
TIMES = {"DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "3", "DB_STATEMENT_TIMEOUT_SECONDS": "5"}
_number = itertools.count()


async def _all_at_once(user: User, kinds: list[str]) -> list[httpx.Response]:
    async with httpx.AsyncClient(
        base_url=user.http.base_url,
        headers=user.http.headers,
        limits=httpx.Limits(max_connections=len(kinds)),
        timeout=20,
        verify=False,
    ) as client:
        return list(await asyncio.gather(*(_send(client, user, kind) for kind in kinds)))


async def _send(client: httpx.AsyncClient, user: User, kind: str) -> httpx.Response:
    headers = {"X-Request-Id": f"overload-{next(_number)}"}
    if kind == "POST":
        return await client.post(user.tasks, json={"title": "x" * 200}, headers=headers)
    if kind == "closing":
        headers["Connection"] = "close"
    if kind == "cross-origin":
        headers["Origin"] = ORIGIN
    return await client.request("HEAD" if kind == "HEAD" else "GET", user.tasks, headers=headers)


def test_whatever_cannot_be_served_is_refused_politely_and_seen(fresh_database: Database) -> None:
    settings = {"DB_POOL_MIN": "1", "DB_POOL_MAX": "2", "CORS_ORIGINS": ORIGIN, **TIMES}
    kinds = ["GET", "POST", "HEAD", "closing", "cross-origin"] * 30
    with serve(fresh_database.url, **settings) as service, sign_up(service.url) as user:
        with held(fresh_database.url, LOCK):
            answers = asyncio.run(_all_at_once(user, kinds))
        assert {a.status_code for a in answers} == {503}
        assert all(a.headers["retry-after"] == "1" for a in answers)
        for kind, answer in zip(kinds, answers, strict=True):
            request_id = answer.request.headers["x-request-id"]
            assert answer.headers["x-request-id"] == request_id
            assert answer.headers["content-security-policy"], kind
            assert answer.headers.get("connection") == ("close" if kind == "closing" else "keep-alive")
            if kind == "HEAD":
                assert answer.content == b""
                continue
            assert answer.json()["request_id"] == request_id
            if kind == "cross-origin":
                assert answer.headers["access-control-allow-origin"] == ORIGIN
        codes = [a.json()["code"] for a in answers if a.content]
        assert set(codes) <= {"overloaded", "pool_exhausted", "database_timeout"}
        assert codes.count("overloaded") >= 100, "all but those who got as far as the pool"

        gave_up = len(answers) - codes.count("database_timeout")
        assert service.metric("db_pool_acquire_timeouts_total") in range(gave_up - 2, gave_up + 1), "HEAD has no code"

        # Each was counted and logged once, those too that were never parsed.
        lines = [orjson.loads(line) for line in service.log().splitlines()]
        logged = [line["request_id"] for line in lines if line.get("status") == 503]
        assert sorted(logged) == sorted(a.headers["x-request-id"] for a in answers)
        counts = [line for line in service.metrics().splitlines() if "http_request_duration_seconds_count" in line]
        assert sum(float(line.split()[-1]) for line in counts if 'status="503"' in line) == len(kinds)

        eventually(lambda: service.metric(QUEUED) == 0)
        served = asyncio.run(_all_at_once(user, kinds))
        assert {a.status_code for a in served} == {200, 201}
        assert len(user.list(limit=100)) == kinds.count("POST"), "none that was refused was carried out"


def test_a_shutdown_serves_those_who_are_still_waiting_to_be_read(fresh_database: Database) -> None:
    with (
        serve(fresh_database.url, DB_POOL_MIN="1", DB_POOL_MAX="1", **TIMES) as service,
        sign_up(service.url) as user,
        ThreadPoolExecutor(1) as thread,
    ):
        assert service.process is not None
        with held(fresh_database.url, LOCK):
            sending = thread.submit(asyncio.run, _all_at_once(user, ["GET", "POST"] * 15))
            eventually(lambda: service.metric(QUEUED) > 20)
            service.process.send_signal(signal.SIGTERM)
        assert {a.status_code for a in sending.result()} == {200, 201}
        assert service.process.wait(10) == 0
