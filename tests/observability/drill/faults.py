"""The faults, and for each what the dashboard must show and must not show."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from service.database.embedded import EmbeddedPostgres
from tests.observability.clients import crowd, tasks_locked
from tests.observability.live import Stack
from tests.support.users import User

SEARCHERS = 60
ROWS_TO_SEARCH = 15_000


@dataclass(frozen=True)
class Scene:
    """What a fault can lay hands on."""

    stack: Stack
    postgres: EmbeddedPostgres
    user: User


Inject = Callable[[Scene], AbstractAsyncContextManager[None]]


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
async def database_stopped(scene: Scene) -> AsyncIterator[None]:
    scene.postgres.stop()
    try:
        yield
    finally:
        # Not in a thread: the server is told to end with the thread that started it.
        scene.postgres.start()


def pool_exhausted(scene: Scene) -> AbstractAsyncContextManager[None]:
    """Send more searches than there are connections, each of which the database answers at its usual pace."""
    return crowd(scene.user, {"q": "not to be found"}, clients=SEARCHERS, pause_seconds=0)


@asynccontextmanager
async def slow_statement(scene: Scene) -> AsyncIterator[None]:
    """Hold the table's lock most of the time, for less than a statement may take."""

    async def hold() -> None:
        while True:
            async with tasks_locked(scene.postgres.url()):
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.2)

    async with _meanwhile(hold()):
        yield


@asynccontextmanager
async def loop_blocked(scene: Scene) -> AsyncIterator[None]:
    """Stop the process for a third of a second, twice a second: a loop that computes instead of answering."""
    process = scene.stack.service.process
    assert process is not None

    async def stall() -> None:
        try:
            while True:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.3)
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.2)
        finally:
            process.send_signal(signal.SIGCONT)

    async with _meanwhile(stall()):
        yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def fill(scene: Scene) -> None:
    """Give the user enough tasks that a search takes the database some tens of milliseconds."""
    connection = await asyncpg.connect(scene.postgres.url())
    try:
        await connection.execute(
            "INSERT INTO tasks (id, user_id, title, description)"
            " SELECT gen_random_uuid(), $1, 'Task ' || n, repeat('nothing to see here ', 10)"
            " FROM generate_series(1, $2::int) n",
            scene.user.id,
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
            Expectation(LAG, "A", below=0.2),
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
            Expectation(LAG, "A", below=0.2),
        ),
    ),
    Fault(
        "event loop blocked",
        loop_blocked,
        (
            Expectation(LAG, "A", above=0.3),
            Expectation(WAITING, "A", below=1),
            Expectation(TIMEOUTS, "A", below=0.1),
            Expectation(ERRORS, "B", below=0.1),
        ),
    ),
)


def background(scene: Scene) -> AbstractAsyncContextManager[None]:
    """Steady traffic from fewer clients than there are connections."""
    return crowd(scene.user, {"limit": "20"}, clients=3, pause_seconds=0.03)
