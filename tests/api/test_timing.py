"""Where a request's time goes."""

import asyncio
import re
import time
from collections.abc import Callable

import asyncpg
import pytest

from tests.support.database import Database
from tests.support.server import Service
from tests.support.users import User, sign_up

PHASE = 'http_request_phase_seconds_sum{{phase="{}"}}'


def phases(service: Service) -> dict[str, float]:
    return {phase: service.metric(PHASE.format(phase)) for phase in ("auth", "pool", "db", "app")}


def test_server_timing_is_there_when_asked_for_and_not_otherwise(
    user: User, start_service: Callable[..., Service]
) -> None:
    assert "server-timing" not in user.http.get(user.tasks).headers
    server = start_service(SERVER_TIMING="true")
    with sign_up(server.url) as timed:
        given = timed.http.get(timed.tasks).headers["server-timing"]
    found = dict(re.findall(r"(\w+);dur=(\d+\.\d\d)", given))
    assert list(found) == ["auth", "pool", "db", "app"]
    assert float(found["db"]) > 0


def test_the_phases_of_a_request_are_its_whole(fresh_database: Database, start_service: Callable[..., Service]) -> None:
    server = start_service(fresh_database.url)
    with sign_up(server.url) as user:
        for _ in range(5):
            user.create()
        whole = sum(
            float(line.rpartition(" ")[2])
            for line in server.metrics().splitlines()
            if line.startswith("http_request_duration_seconds_sum")
        )
        parts = phases(server)
    assert sum(parts.values()) == pytest.approx(whole, rel=0.01, abs=0.002)
    assert parts["auth"] > parts["db"] / 10, "hashing the password of the signup counts as authentication"


async def test_waiting_for_a_row_counts_as_database_time(service: Service, user: User, database: Database) -> None:
    task = await asyncio.to_thread(user.create)
    before = phases(service)
    connection = await asyncpg.connect(database.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT 1 FROM tasks WHERE id = $1::uuid FOR UPDATE", task["id"])
    toggled = asyncio.create_task(asyncio.to_thread(user.http.patch, f"{user.path(task)}/complete"))
    began = time.monotonic()
    await asyncio.sleep(0.5)
    await transaction.rollback()
    await connection.close()
    assert (await toggled).status_code == 200
    spent = {phase: value - before[phase] for phase, value in phases(service).items()}
    assert 0.3 < spent["db"] < time.monotonic() - began + 0.1
    assert spent["app"] < 0.3
