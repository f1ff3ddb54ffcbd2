"""The statements behind the task routes: one each, on a prepared plan, always within one user."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import asyncpg

from service.database.pool import Executor, Statement
from service.database.statement import shared_read
from service.identifiers import uuid7
from service.problems import DatabaseBusy, PreconditionFailed, TaskNotFound, TooManyTasks, Unauthorized
from service.rest.conditional import ANY_STATE, Preconditions, task_tag
from service.tasks.account import fetch_of_account
from service.tasks.clock import ADVANCE_FOR_NEW, LOCK, advance, in_states
from service.tasks.fields import COLUMNS, SETTABLE, document
from service.tasks.page_cache import KnownPage, PageCache
from service.tasks.pages import page_of
from service.tasks.paging import TaskQuery

TRIES = 3
"""A statement sees what was committed when it began: what came while it waited for a lock takes another one."""


class Task(NamedTuple):
    """A task as it is sent: its document, and the `ETag` of this state of it."""

    id: UUID
    document: bytes
    tag: str


class Page(NamedTuple):
    """`body` is a JSON array; `last` its last task, if a next page starts behind that. `clock` is in microseconds."""

    body: bytes
    last: bytes | None
    clock: int
    total: int
    """How many tasks the user has, whatever the query's filters are."""


# The time as seconds since the epoch: asyncpg takes ten times as long to make a datetime of a timestamptz.
_ANSWER = f"{document()} AS document, date_part('epoch', updated_at) AS updated_at"

# $1 id, $2 user, $3 the states that the request allows, $4 those that it refuses, NULL for no condition
_MINE = f"tasks.id = $1 AND user_id = $2 AND {in_states(3)}"


def _change(operation: str, assignments: str) -> Statement:
    return Statement(
        operation,
        f"WITH {LOCK}, task AS (UPDATE tasks SET {assignments}, updated_at = head.now, clocked = NOT clocked"  # noqa: S608  fixed text
        f" FROM head WHERE {_MINE} RETURNING {_ANSWER}), {advance('task')} SELECT document, updated_at FROM task",
    )


def _completed_at(completed: str) -> str:
    return (
        f"completed_at = CASE WHEN NOT {completed} THEN NULL WHEN completed THEN coalesce(completed_at, head.now)"
        " ELSE head.now END"
    )


def _assignments() -> str:
    """$5 has a bit for each settable field that is given, in their order; their values follow."""
    given = {field.name: f"$5::int & {1 << bit} <> 0" for bit, field in enumerate(SETTABLE)}
    values = {field.name: f"${number}::{field.set_as}" for number, field in enumerate(SETTABLE, start=6)}
    new = {name: f"CASE WHEN {given[name]} THEN {values[name]} ELSE {name} END" for name in given}
    return ", ".join([*(f"{name} = {value}" for name, value in new.items()), _completed_at(f"({new['completed']})")])


def _select(*, task_id: str, user_id: str) -> str:
    living = f"EXISTS (SELECT FROM users WHERE users.id = {user_id} AND ended_at IS NULL)"
    return f"SELECT {_ANSWER} FROM tasks WHERE tasks.id = {task_id} AND tasks.user_id = {user_id} AND {living}"  # noqa: S608  fixed text


def _select_clock(*, user_id: str) -> str:
    return f"SELECT date_part('epoch', tasks_clock) FROM users WHERE users.id = {user_id} AND ended_at IS NULL"  # noqa: S608  fixed text


_NEW = [field for field in SETTABLE if field.name != "completed"]
_NEW_VALUES = ", ".join(f"coalesce(${n}::{f.set_as}, {f.default})" for n, f in enumerate(_NEW, start=4))
INSERT = Statement(
    "task_insert",
    f"WITH {ADVANCE_FOR_NEW} INSERT INTO tasks"  # noqa: S608  fixed text
    f" (id, user_id, created_at, updated_at, clocked, {', '.join(field.name for field in _NEW)})"
    f" SELECT $1, $2, now, now, true, {_NEW_VALUES} FROM head"
    f" RETURNING {_ANSWER}",
)
_ROOM = Statement("task_room", "SELECT tasks_count FROM users WHERE id = $1 AND ended_at IS NULL", reads=True)
SELECT = shared_read("task_select", _select, task_id="uuid", user_id="uuid")
CHANGE = _change("task_change", _assignments())
TOGGLE = _change("task_toggle", f"completed = NOT completed, {_completed_at('(NOT completed)')}")
_COLUMNS = ", ".join(COLUMNS)
DELETE = Statement(
    "task_delete",
    f"WITH {LOCK}, task AS (DELETE FROM tasks USING head WHERE {_MINE} RETURNING tasks.*, head.now),"  # noqa: S608  fixed text
    f" {advance('task', count=-1)} INSERT INTO deleted_tasks (deleted_at, {_COLUMNS}) SELECT now, {_COLUMNS} FROM task"
    # Only SQL beside the service gives a task an id that was deleted before.
    f" ON CONFLICT (id) DO UPDATE SET (deleted_at, {_COLUMNS}) ="
    f" ROW (excluded.deleted_at, {', '.join(f'excluded.{name}' for name in COLUMNS)}) RETURNING id",
)
CLOCK = shared_read("task_clock", _select_clock, user_id="uuid")


class TaskStore:
    """The tasks of one user. There is no way to ask it for anybody else's."""

    __slots__ = ("_db", "_pages", "_tasks_max", "_user_id")

    def __init__(self, db: Executor, user_id: UUID, pages: PageCache, *, tasks_max: int) -> None:
        """`tasks_max` is how many tasks the user may have."""
        self._db = db
        self._user_id = user_id
        self._pages = pages
        self._tasks_max = tasks_max

    async def create(self, values: Mapping[str, object]) -> Task:
        """`values` by field; what is left out is null. Raises Unauthorized or TooManyTasks."""
        task_id = uuid7()
        new = (values.get(field.name) for field in _NEW)
        row = await self._db.fetchrow(INSERT, task_id, self._user_id, self._tasks_max, *new)
        if row is None:
            raise await self._why_not()
        return task_of(task_id, row)

    async def get(self, task_id: UUID) -> Task:
        """Raises TaskNotFound, as do all methods that take an id."""
        row = await self._db.fetchrow(SELECT, task_id, self._user_id)
        if row is None:
            raise TaskNotFound
        return task_of(task_id, row)

    async def clock(self) -> int:
        """The user's clock, in microseconds since the epoch. Raises Unauthorized when the account is gone."""
        [row] = await fetch_of_account(self._db, CLOCK, self._user_id)
        return microseconds(row[0])

    async def page(self, query: TaskQuery) -> Page:
        """Raises Unauthorized when the account is gone."""
        known = self._pages.get(self._user_id, query.digest) if query.is_first else None
        arguments = query.arguments(self._user_id, None if known is None else known.clock)
        [row] = await fetch_of_account(self._db, query.statement, *arguments)
        clock, total = row[2], row[3]
        if known is None or known.clock != clock:
            known = KnownPage(clock, *page_of(row[0], row[1], query.limit))
            if query.is_first:
                self._pages.keep(self._user_id, query.digest, known)
        return Page(known.body, known.last, microseconds(clock), total)

    async def count(self, query: TaskQuery) -> int:
        """How many tasks match the query's filters, on all pages together."""
        statement, arguments = query.counting(self._user_id)
        row = await self._db.fetchrow(statement, *arguments)
        return 0 if row is None else int(row[0])

    # Raise PreconditionFailed when the task is in none of the states that the request allows.

    async def change(self, task_id: UUID, values: Mapping[str, object], states: Preconditions = ANY_STATE) -> Task:
        """`values` by field; what is left out stays."""
        mask = sum(1 << bit for bit, field in enumerate(SETTABLE) if field.name in values)
        return await self._write(CHANGE, task_id, states, mask, *(values.get(field.name) for field in SETTABLE))

    async def toggle(self, task_id: UUID, states: Preconditions = ANY_STATE) -> Task:
        return await self._write(TOGGLE, task_id, states)

    async def delete(self, task_id: UUID, states: Preconditions = ANY_STATE) -> None:
        """Into the trash."""
        await self._run(DELETE, task_id, states)

    async def _write(self, statement: Statement, task_id: UUID, states: Preconditions, *values: object) -> Task:
        return task_of(task_id, await self._run(statement, task_id, states, *values))

    async def _run(self, statement: Statement, task_id: UUID, states: Preconditions, *values: object) -> asyncpg.Record:
        """Again when the task came back, or into an allowed state, while the statement waited for the user's row.

        Raises DatabaseBusy when that happened each time.
        """
        for _ in range(TRIES):
            row = await self._db.fetchrow(statement, task_id, self._user_id, *states, *values)
            if row is not None:
                return row
            current = await self.get(task_id)
            if not states.allow(current.tag):
                raise PreconditionFailed(headers={"ETag": current.tag})
        raise DatabaseBusy

    async def _why_not(self) -> Unauthorized | TooManyTasks:
        gone = await self._db.fetchrow(_ROOM, self._user_id) is None
        return Unauthorized() if gone else TooManyTasks(self._tasks_max)


def task_of(task_id: UUID, row: asyncpg.Record) -> Task:
    return Task(task_id, row[0], task_tag(row[1]))


def microseconds(epoch_seconds: float) -> int:
    """Exact until the year 2242."""
    return round(epoch_seconds * 1_000_000)
