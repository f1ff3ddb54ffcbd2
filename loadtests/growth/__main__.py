"""Does a page cost the same however many tasks there are? `make growth` measures and prints a table.

Users with ever more tasks, and as many deletions, ask for the same pages in turn, first alone and then among the tasks
of many others: a slow moment of the machine hits all of them alike. Needs some 10 GB of disk and half an hour.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from loadtests.database import connect
from loadtests.growth.fill import empty_trash, fill_others, fill_tasks, vacuum
from loadtests.growth.pages import (
    EMPTY_FOR_SOME,
    UNAVAILABLE,
    UNCHANGED,
    Client,
    Page,
    User,
    emptied,
    pages_of,
    unchanged,
)
from loadtests.started import Started, started_service
from service.database.connection import Connection
from service.database.session import PLANNER

SIZES = [int(size) for size in os.environ.get("SIZES", "100 100000 1000000").split()]
OTHERS = int(os.environ.get("OTHERS", "10000000"))
OTHER_USERS = max(OTHERS // 100, 1)
ROUNDS = int(os.environ.get("ROUNDS", "300"))
SIZE_MIN = 100
ROUNDS_MIN = 20
CELL_SECONDS = 10.0
"""Where a page takes long, it is asked for less often, but for `ROUNDS_MIN` times at least."""

PASSWORD = "correct horse battery staple"  # noqa: S105  of users that are thrown away

EMPTY = (b"[]", b'{"changes":[]')
Times = dict[tuple[str, int], list[float]]


def main() -> int:
    if len(SIZES) != len(set(SIZES)) or min(SIZES) < SIZE_MIN or ROUNDS < ROUNDS_MIN:
        sys.exit(f"SIZES are different numbers from {SIZE_MIN}, and ROUNDS are at least {ROUNDS_MIN}")
    with started_service({**os.environ, "JWT_ACCESS_TTL_SECONDS": "36000"}) as service:
        client = Client(urlsplit(service.url).netloc)
        users = [_sign_up(client, size) for size in SIZES]
        for user in users:
            user.clock = asyncio.run(_clock(service, user))
            asyncio.run(fill_tasks(service, user.id, user.tasks))
        asyncio.run(vacuum(service))
        client.close()
        for user in users:
            user.pages = dict(pages_of(client, user))
        _report(service, client, users, "alone")
        asyncio.run(fill_others(service, OTHERS, OTHER_USERS))
        asyncio.run(vacuum(service))
        client.close()
        _report(service, client, users, f"among {OTHERS:,} tasks of {OTHER_USERS:,} others")
        asyncio.run(empty_trash(service))
        asyncio.run(vacuum(service))
        for user in users:
            user.pages = emptied(user)
        client.close()
        _report(service, client, users, "after the trash was emptied")
    return 0


def _sign_up(client: Client, tasks: int) -> User:
    email = f"user-of-{tasks}@example.com"
    session = client.post("/api/auth/signup", {"email": email, "password": PASSWORD})
    user = User(tasks, UUID(session["user"]["id"]), session["access_token"])
    _, page = client.read(user, f"{user.path}/tasks/changes")
    user.before = page["next"]
    return user


async def _clock(service: Started, user: User) -> datetime:
    connection = await connect(service.database_url)
    clock: datetime = await connection.fetchval("SELECT tasks_clock FROM users WHERE id = $1", user.id)
    await connection.close()
    return clock


def _report(service: Started, client: Client, users: list[User], where: str) -> None:
    times, refused = _measure(service, client, users)
    blocks = asyncio.run(_blocks(service, users))
    _say(f"\n{where}: median (p95) ms of up to {ROUNDS} requests, and blocks of 8 kB that PostgreSQL touches")
    _say("| page of 20 | " + " | ".join(f"{user.tasks:,} tasks" for user in users) + " |")
    _say("|---" * (len(users) + 1) + "|")
    for name in users[0].pages:
        cells = [
            "503, too slow"
            if (name, user.tasks) in refused
            else _cell(times[name, user.tasks], blocks[name, user.tasks])
            for user in users
        ]
        _say(f"| {name} | " + " | ".join(cells) + " |")


async def _advance_clocks(service: Started) -> None:
    """As a change would: the service reads no page again that it has read at this clock."""
    connection = await connect(service.database_url)
    await connection.execute("UPDATE users SET tasks_clock = tasks_clock + interval '1 microsecond'")
    await connection.close()


def _measure(service: Started, client: Client, users: list[User]) -> tuple[Times, set[tuple[str, int]]]:
    times: Times = {}
    refused: set[tuple[str, int]] = set()
    for _ in range(ROUNDS):
        asyncio.run(_advance_clocks(service))
        for user in users:
            if UNCHANGED in user.pages:
                user.pages[UNCHANGED] = unchanged(client, user)
            for name, page in user.pages.items():
                spent = times.setdefault((name, user.tasks), [])
                if (name, user.tasks) in refused or (len(spent) >= ROUNDS_MIN and sum(spent) > CELL_SECONDS * 1000):
                    continue
                began = time.perf_counter()
                status, _, body = client.get(user, page.path, page.headers)
                spent.append((time.perf_counter() - began) * 1000)
                if status == UNAVAILABLE:
                    refused.add((name, user.tasks))
                elif status != page.status or (body.startswith(EMPTY) and name not in EMPTY_FOR_SOME):
                    sys.exit(f"{name}: {page.path} answered {status}: {body[:500]!r}")
    return times, refused


def _cell(times: list[float], blocks: int) -> str:
    return f"{statistics.median(times):.2f} ({statistics.quantiles(times, n=20)[-1]:.2f}), {blocks:,}"


async def _blocks(service: Started, users: list[User]) -> dict[tuple[str, int], int]:
    connection = await connect(service.database_url, PLANNER)
    found = {}
    for user in users:
        for name, page in user.pages.items():
            found[name, user.tasks] = await _touched(connection, page)
    await connection.close()
    return found


async def _touched(connection: Connection, page: Page) -> int:
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {page.sql}", *page.arguments)
    plan = json.loads(text)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  the table is what it is run for


if __name__ == "__main__":
    sys.exit(main())
