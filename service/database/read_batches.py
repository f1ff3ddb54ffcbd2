"""Reads that arrive while one of their kind is under way are run together, in the next statement.

Most of what a statement costs this process and PostgreSQL is the same for one row and for fifty. So a quiet read is run
at once and alone, and the more of them come, the cheaper each one gets.

Nobody pays for company: a caller waits no longer than it would for a connection of its own, a statement that takes long
holds up nobody who comes later, and when one fails, each of its callers is run alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple, Protocol

import asyncpg

from service.background import Background
from service.database.connection import Connection
from service.database.statement import Statement
from service.problems import PoolExhausted, Problem
from service.telemetry.metrics import DatabaseMetrics

UNDER_WAY_MAX = 1
"""How many statements of one kind run at once before the next callers wait for each other."""

CALLERS_MAX = 32

LARGE_CALLERS_MAX = 16
"""Of a statement whose rows can be large: an answer of 2 MB is in memory some three times before it is sent."""

HEAVY_BYTES = 64 * 1024
HEAVY_SECONDS = 1.0
"""For so long reads go alone again after some of their kind came to so many bytes each: the pool bounds how many of
those are in memory at once, a queue does not."""

OVERDUE_SECONDS = 0.02
"""Whoever has waited for so long gets a statement beside the one that is under way; a large one alone."""


class Outcome(NamedTuple):
    """What a caller gets; `rows` is None when it has to be run alone after all."""

    rows: list[asyncpg.Record] | None
    waited_seconds: float
    """Until the statement began."""

    statement_seconds: float


class Source(Protocol):
    """What is needed of the pool."""

    async def borrow(self) -> Connection:
        """Raises a `Problem`."""
        ...

    async def run_on(
        self, connection: Connection, operation: str, sql: str, args: Sequence[object], deadline: float | None
    ) -> list[asyncpg.Record]:
        """Run a statement, and give the connection back. Raises the driver's errors."""
        ...

    def give_back(self, connection: Connection) -> None: ...


class _Caller:
    __slots__ = ("args", "deadline", "joined_at", "leaves_at", "outcome")

    def __init__(self, args: Sequence[object], timeout_seconds: float, deadline: float | None) -> None:
        self.args = args
        self.deadline = deadline
        self.joined_at = monotonic()
        self.leaves_at = self.joined_at + timeout_seconds
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def end(self, rows: list[asyncpg.Record] | None, began_at: float, ended_at: float) -> None:
        if not self.outcome.done():  # else it was cancelled
            self.outcome.set_result(Outcome(rows, began_at - self.joined_at, ended_at - began_at))


class ReadBatches:
    """All kinds of reads that can share a statement."""

    def __init__(self, source: Source, background: Background, metrics: DatabaseMetrics) -> None:
        self.source = source
        self.background = background
        self.metrics = metrics
        self.waiting = 0
        """How many callers wait for a statement."""

        self._kinds: dict[str, Kind] = {}

    def dismiss_all(self) -> None:
        """Have all that wait run alone, where they hear that the pool is closed."""
        for kind in self._kinds.values():
            kind.dismiss_all()

    def kind(self, statement: Statement) -> "Kind":
        """Of a statement that has a text for `many`; there are as many kinds as texts."""
        assert statement.many is not None  # noqa: S101  who calls has asked
        kind = self._kinds.get(statement.many)
        if kind is None:
            kind = self._kinds[statement.many] = Kind(statement, statement.many, self)
        return kind


class Kind:
    """The reads of one kind: those that wait, and the statements that are under way."""

    __slots__ = (
        "_acquires",
        "_all",
        "_callers_max",
        "_heavy_until",
        "_many",
        "_queue",
        "_sizes",
        "_statement",
        "_timer_is_set",
        "_under_way",
    )

    def __init__(self, statement: Statement, many: str, batches: ReadBatches) -> None:
        self._statement = statement
        self._many = many
        self._all = batches
        self._sizes = batches.metrics.batch_size(statement.operation)
        self._queue: deque[_Caller] = deque()
        self._under_way = 0
        self._acquires = False
        """Whether a task waits for a connection, for all that wait here by the time it gets one."""

        self._timer_is_set = False
        self._callers_max = LARGE_CALLERS_MAX if statement.large else CALLERS_MAX
        self._heavy_until = 0.0

    def begin_alone(self) -> bool:
        """Whether a caller may run its statement at once; then it calls `end_alone` when that is over, in any case."""
        if (self._under_way >= UNDER_WAY_MAX or self._queue) and monotonic() >= self._heavy_until:
            return False
        self._under_way += 1
        self._sizes.observe(1)
        return True

    def end_alone(self) -> None:
        self._under_way -= 1
        if self._has_next():
            self._start()

    def weigh(self, rows: list[asyncpg.Record], callers: int = 1) -> None:
        """Look at what they got, where that can be large."""
        if self._statement.large and sum(len(row[0] or b"") for row in rows) > HEAVY_BYTES * callers:
            self._heavy_until = monotonic() + HEAVY_SECONDS
            self.dismiss_all()

    async def join(self, args: Sequence[object], timeout_seconds: float, deadline: float | None) -> Outcome:
        """Wait for the next statement and for its rows. Raises PoolExhausted.

        `timeout_seconds` is how long to wait for a connection, `deadline` the reading of `monotonic` by which the
        statement has to be over.
        """
        caller = _Caller(args, timeout_seconds, deadline)
        self._queue.append(caller)
        self._all.waiting += 1
        self._set_timer()
        return await caller.outcome

    def _start(self) -> None:
        self._acquires = True
        self._all.background.spawn("pool_read_batch", self._run)

    def _has_next(self) -> bool:
        return bool(self._queue) and self._under_way < UNDER_WAY_MAX and not self._acquires

    async def _run(self) -> None:
        """One statement after the other, until nobody waits or another task has taken over."""
        while (connection := await self._acquire()) is not None:
            self._under_way += 1
            try:
                await self._serve(self._take(), connection)
            finally:
                self._under_way -= 1
            if not self._has_next():
                return
            self._acquires = True

    async def _acquire(self) -> Connection | None:
        """None when nobody waits any more."""
        try:
            while self._queue:
                with suppress(PoolExhausted):  # whoever waits has a timeout of its own
                    return await self._all.source.borrow()
        except BaseException as error:
            self.dismiss_all()
            if isinstance(error, Problem):
                return None  # each of them will be told when it is run alone
            raise
        finally:
            self._acquires = False
        return None

    def _take(self, count: int | None = None) -> list[_Caller]:
        """Those that have waited longest, without those that were cancelled."""
        count = self._callers_max if count is None else count
        callers: list[_Caller] = []
        while self._queue and len(callers) < count:
            caller = self._queue.popleft()
            self._all.waiting -= 1
            if not caller.outcome.done():
                callers.append(caller)
        return callers

    async def _serve(self, callers: list[_Caller], connection: Connection) -> None:
        if not callers:
            self._all.source.give_back(connection)
            return
        began_at = monotonic()
        try:
            shares = await self._fetch(callers, connection)
        except BaseException as error:
            self._dismiss(callers, began_at)
            if not isinstance(error, Exception):
                raise
            return  # whoever's fault it was: each caller finds out by itself
        ended_at = monotonic()
        for caller, rows in zip(callers, shares, strict=True):
            caller.end(rows, began_at, ended_at)

    async def _fetch(self, callers: list[_Caller], connection: Connection) -> list[list[asyncpg.Record]]:
        """The rows of each caller."""
        source, operation = self._all.source, self._statement.operation
        self._sizes.observe(len(callers))
        if len(callers) == 1:
            (only,) = callers
            return [await source.run_on(connection, operation, self._statement.sql, only.args, only.deadline)]
        deadline = min((caller.deadline for caller in callers if caller.deadline is not None), default=None)
        arrays = list(zip(*(caller.args for caller in callers), strict=True))
        shares: list[list[asyncpg.Record]] = [[] for _ in callers]
        rows = await source.run_on(connection, operation, self._many, arrays, deadline)
        for row in rows:
            shares[row[-1] - 1].append(row)
        self.weigh(rows, len(callers))
        return shares

    def _dismiss(self, callers: Iterable[_Caller], began_at: float | None = None) -> None:
        """Have them run alone."""
        now = monotonic()
        for caller in callers:
            caller.end(None, now if began_at is None else began_at, now)

    def dismiss_all(self) -> None:
        self._dismiss(self._take(len(self._queue)))

    def _set_timer(self) -> None:
        if not self._timer_is_set:
            self._timer_is_set = True
            asyncio.get_running_loop().call_later(OVERDUE_SECONDS, self._check)

    def _check(self) -> None:
        """End the waits whose time is up, and get the rest another statement if they have waited for long."""
        self._timer_is_set = False
        now = monotonic()
        late = [caller for caller in self._queue if caller.leaves_at <= now]
        for caller in late:
            self._queue.remove(caller)
            self._all.waiting -= 1
            if not caller.outcome.done():
                caller.outcome.set_exception(PoolExhausted())
        if self._queue:
            self._set_timer()
            if not self._acquires and now - self._queue[0].joined_at >= OVERDUE_SECONDS:
                if self._statement.large:
                    self.dismiss_all()
                else:
                    self._start()
