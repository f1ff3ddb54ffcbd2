"""The faults, and for each what the dashboard must show and must not show."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg
import httpx

from tests.observability.clients import Account, crowd, tasks_locked
from tests.observability.live import Stack

SEARCHERS = 60
ROWS_TO_SEARCH = 4_000

Inject = Callable[[Stack, Account], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Expectation:
    """A panel, one of its series, and the range in which its extreme value during the fault must lie.

    `series` picks by label. Rising panels are judged by their highest value, falling ones by their lowest.
    """

    panel: str
    ref: str
    series: tuple[tuple[str, str], ...] = ()
    above: float | None = None
    below: float | None = None
    falls: bool = False


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Inject
    expected: tuple[Expectation, ...]


@asynccontextmanager
async def database_stopped(stack: Stack, _: Account) -> AsyncIterator[None]:
    stack.postgres.stop()
    try:
        yield
    finally:
        # Not in a thread: the server is told to end with the thread that started it.
        stack.postgres.start()


@asynccontextmanager
async def pool_exhausted(stack: Stack, account: Account) -> AsyncIterator[None]:
    """Send more searches than there are connections, each of which the database answers at its usual pace."""

    async def search(client: httpx.AsyncClient) -> None:
        while True:
            with suppress(httpx.TransportError):
                await client.get(account.tasks, params={"q": "not to be found"}, headers=account.headers)

    limits = httpx.Limits(max_connections=SEARCHERS)
    async with httpx.AsyncClient(base_url=stack.api, timeout=10, limits=limits) as client:
        searching = [asyncio.create_task(search(client)) for _ in range(SEARCHERS)]
        try:
            yield
        finally:
            for one in searching:
                one.cancel()
            await asyncio.gather(*searching, return_exceptions=True)


@asynccontextmanager
async def slow_statement(stack: Stack, _: Account) -> AsyncIterator[None]:
    """Hold the table's lock half of the time, for less than a statement may take."""

    async def hold() -> None:
        while True:
            async with tasks_locked(stack.postgres.url()):
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.2)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


@asynccontextmanager
async def loop_blocked(stack: Stack, _: Account) -> AsyncIterator[None]:
    """Stop the process for a third of a second, twice a second: a loop that computes instead of answering."""

    async def stall() -> None:
        try:
            while True:
                os.kill(stack.service_pid, signal.SIGSTOP)
                await asyncio.sleep(0.3)
                os.kill(stack.service_pid, signal.SIGCONT)
                await asyncio.sleep(0.2)
        finally:
            os.kill(stack.service_pid, signal.SIGCONT)

    stalling = asyncio.create_task(stall())
    try:
        yield
    finally:
        stalling.cancel()
        await asyncio.gather(stalling, return_exceptions=True)


async def fill(stack: Stack, account: Account) -> None:
    """Give the account enough tasks that a search takes the database some tens of milliseconds."""
    connection = await asyncpg.connect(stack.postgres.url())
    try:
        await connection.execute(
            "INSERT INTO tasks (id, user_id, title, description)"
            " SELECT gen_random_uuid(), $1, 'Task ' || n, repeat('nothing to see here ', 10)"
            " FROM generate_series(1, $2::int) n",
            account.user_id,
            ROWS_TO_SEARCH,
        )
        await connection.execute("ANALYZE tasks")
    finally:
        await connection.close()


LAG = "Event loop lag p99, by pod"
MEAN = "Mean time of a request, by phase"
ACQUIRE = "Time to get a connection"
WAITING = "Requests waiting for a connection"
TIMEOUTS = "Acquire timeouts"
ERRORS = "Answers 5xx"
CONNECTIONS = "Connections by state"
CHURN = "Connections opened and closed"
QUERY = "Query time p95, by operation"
POOL = (("phase", "pool"),)
DB = (("phase", "db"),)
APP = (("phase", "app"),)
IDLE = (("state", "idle"),)
IN_USE = (("state", "in_use"),)

FAULTS = (
    Fault(
        "database stopped",
        database_stopped,
        (
            Expectation(ERRORS, "B", above=5),
            Expectation(CONNECTIONS, "A", IDLE, below=0.5, falls=True),
            Expectation(CHURN, "B", (("reason", "lost"),), above=0.1),
            Expectation(LAG, "A", below=0.1),
        ),
    ),
    Fault(
        "pool exhausted",
        pool_exhausted,
        (
            Expectation(MEAN, "A", POOL, above=0.1),
            Expectation(ACQUIRE, "B", above=0.1),
            Expectation(WAITING, "A", above=10),
            Expectation(TIMEOUTS, "A", above=1),
            Expectation(CONNECTIONS, "A", IN_USE, above=3),
        ),
    ),
    Fault(
        "slow statement",
        slow_statement,
        (
            Expectation(MEAN, "A", DB, above=0.04),
            Expectation(QUERY, "A", above=0.1),
            Expectation(MEAN, "A", POOL, below=0.02),
            Expectation(LAG, "A", below=0.1),
        ),
    ),
    Fault(
        "event loop blocked",
        loop_blocked,
        (
            Expectation(LAG, "A", above=0.1),
            Expectation(WAITING, "A", below=1),
            Expectation(TIMEOUTS, "A", below=0.1),
            Expectation(ERRORS, "B", below=0.1),
        ),
    ),
)


def background(stack: Stack, account: Account) -> AbstractAsyncContextManager[object]:
    """Steady traffic from fewer clients than there are connections."""
    return crowd(stack.api, account, clients=3, pause=0.03)
