"""Does a page of the list cost the same however many tasks there are? `make growth` measures and prints a table.

Users with ever more tasks ask for the same pages in turn, first alone and then among the tasks of many others: a slow
moment of the machine hits all of them alike. Needs some 10 GB of disk and ten minutes.
"""

import asyncio
import http.client
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

from loadtests.started import Started, started_service
from service.database.connection import Connection, Connector, PoolOptions
from service.database.session import PLANNER, Settings
from service.database.url import parse_database_url
from service.tasks.paging import TaskQuery, parse_list_query

SIZES = [int(size) for size in os.environ.get("SIZES", "100 100000 1000000").split()]
OTHERS = int(os.environ.get("OTHERS", "10000000"))
OTHER_USERS = max(OTHERS // 100, 1)
ROUNDS = int(os.environ.get("ROUNDS", "300"))
SIZE_MIN = 100
ROUNDS_MIN = 20
LIMIT = 20
PORTION = 500_000
PASSWORD = "correct horse battery staple"  # noqa: S105  of users that are thrown away
PAGES = {
    "first page": f"limit={LIMIT}",
    "by title": f"limit={LIMIT}&sort=title",
    "changed last": f"limit={LIMIT}&sort=-updated_at",
    "completed (1 in 10)": f"limit={LIMIT}&completed=true",
}

# Ids in the order of time, as the service would have made them.
FILL = """
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at)
    SELECT encode(int8send((1767225600000 + n) << 16) || substr(uuid_send(gen_random_uuid()), 9), 'hex')::uuid,
        $1, 'task ' || md5(n::text), 'two litres of whole milk', n % 10 = 0,
        $2::timestamptz + n * interval '1 second', $2::timestamptz + (n * 7919 % $3) * interval '1 second'
    FROM generate_series(1::bigint, $3::bigint) n"""
FILL_OTHERS = """
    INSERT INTO tasks (id, user_id, title, completed)
    SELECT gen_random_uuid(), users[1 + n % cardinality(users)], 'task ' || md5(n::text), n % 10 = 0
    FROM generate_series(1, $1::int) n, (SELECT array_agg(id) AS users FROM users WHERE email LIKE 'other-%') u"""


@dataclass
class Page:
    path: str
    query: TaskQuery


@dataclass
class User:
    tasks: int
    id: UUID
    token: str
    pages: dict[str, Page] = field(default_factory=dict)


def main() -> int:
    if len(SIZES) != len(set(SIZES)) or min(SIZES) < SIZE_MIN or ROUNDS < ROUNDS_MIN:
        sys.exit(f"SIZES are different numbers from {SIZE_MIN}, and ROUNDS are at least {ROUNDS_MIN}")
    with started_service({**os.environ, "JWT_ACCESS_TTL_SECONDS": "7200"}) as service:
        client = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
        users = [_sign_up(client, size) for size in SIZES]
        asyncio.run(_fill(service, users))
        client.close()  # as the service does when it has not heard of us for long; it opens again by itself
        for user in users:
            user.pages = dict(_pages(client, user))
        _report(service, client, users, "alone")
        asyncio.run(_fill_others(service))
        client.close()
        _report(service, client, users, f"among {OTHERS:,} tasks of {OTHER_USERS:,} others")
    return 0


def _sign_up(client: http.client.HTTPConnection, tasks: int) -> User:
    body = json.dumps({"email": f"user-of-{tasks}@example.com", "password": PASSWORD})
    client.request("POST", "/api/auth/signup", body, {"Content-Type": "application/json"})
    session = json.load(client.getresponse())
    return User(tasks, UUID(session["user"]["id"]), session["access_token"])


async def _connect(service: Started, settings: Settings = ()) -> Connection:
    options = PoolOptions(parse_database_url(service.database_url), connect_timeout=10, server_settings=settings)
    return await Connector(options).connect()


async def _fill(service: Started, users: list[User]) -> None:
    connection = await _connect(service)
    for user in users:
        await connection.execute(FILL, user.id, datetime(2026, 1, 1, tzinfo=UTC), user.tasks)
    await connection.execute("VACUUM ANALYZE tasks")
    await connection.close()


async def _fill_others(service: Started) -> None:
    connections = [await _connect(service) for _ in range(os.cpu_count() or 1)]
    await connections[0].execute(
        "INSERT INTO users (id, email, password_hash)"
        " SELECT gen_random_uuid(), 'other-' || n || '@example.com', '' FROM generate_series(1, $1) n",
        OTHER_USERS,
    )
    portions = iter([min(PORTION, OTHERS - filled) for filled in range(0, OTHERS, PORTION)])

    async def work(connection: Connection) -> None:
        for portion in portions:
            await connection.execute(FILL_OTHERS, portion)

    await asyncio.gather(*map(work, connections))
    await connections[0].execute("VACUUM ANALYZE tasks")
    for connection in connections:
        await connection.close()


def _pages(client: http.client.HTTPConnection, user: User) -> Iterator[tuple[str, Page]]:
    tasks = f"/api/{user.id}/tasks"
    for name, parameters in PAGES.items():
        yield name, Page(f"{tasks}?{parameters}", parse_list_query(parameters))
    # A cursor comes from a page, so that one walks to the middle.
    path = f"{tasks}?limit={min(500, user.tasks // 2)}"
    for _ in range(max(1, user.tasks // 1000)):
        headers, body = _get(client, user, path)
        path = headers["Link"].partition(">")[0].removeprefix("<")
    last = (datetime.fromisoformat(str(body[-1]["created_at"])), UUID(str(body[-1]["id"])))
    query = TaskQuery(parse_list_query(f"limit={LIMIT}").parameters, after=last)
    yield "middle page", Page(re.sub(r"limit=\d+", f"limit={LIMIT}", path), query)


def _get(
    client: http.client.HTTPConnection, user: User, path: str
) -> tuple[http.client.HTTPMessage, list[dict[str, object]]]:
    client.request("GET", path, headers={"Authorization": f"Bearer {user.token}"})
    response = client.getresponse()
    body = response.read()
    if response.status != http.client.OK:
        sys.exit(f"{path} answered {response.status}: {body[:500]!r}")
    return response.headers, json.loads(body)


def _report(service: Started, client: http.client.HTTPConnection, users: list[User], where: str) -> None:
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for user in users:
            for name, page in user.pages.items():
                began = time.perf_counter()
                _, body = _get(client, user, page.path)
                times.setdefault((name, user.tasks), []).append((time.perf_counter() - began) * 1000)
                assert body  # noqa: S101  an empty page would be no measurement
    print(f"\n{where}: median (p95) ms of {ROUNDS} requests, and blocks of 8 kB that PostgreSQL touches")  # noqa: T201  the table is what it is run for
    print("| page of 20 | " + " | ".join(f"{user.tasks:,} tasks" for user in users) + " |")  # noqa: T201  the table is what it is run for
    print("|---" * (len(users) + 1) + "|")  # noqa: T201  the table is what it is run for
    blocks = asyncio.run(_blocks(service, users))
    for name in users[0].pages:
        cells = [_cell(times[name, user.tasks], blocks[name, user.tasks]) for user in users]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)  # noqa: T201  the table is what it is run for


def _cell(times: list[float], blocks: int) -> str:
    return f"{statistics.median(times):.2f} ({statistics.quantiles(times, n=20)[-1]:.2f}), {blocks}"


async def _blocks(service: Started, users: list[User]) -> dict[tuple[str, int], int]:
    connection = await _connect(service, PLANNER)
    found = {}
    for user in users:
        for name, page in user.pages.items():
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {page.query.statement.sql}"
            text = await connection.fetchval(explain, *page.query.arguments(user.id))
            plan = json.loads(text)[0]["Plan"]
            found[name, user.tasks] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    await connection.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
