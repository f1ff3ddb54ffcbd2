"""The statements behind the task routes: one each, on a prepared plan, always within one user."""

from uuid import UUID

import asyncpg

from service.database.pool import Executor, Statement
from service.identifiers import uuid7
from service.problems import PreconditionFailed, TaskNotFound, Unauthorized
from service.rest.conditional import Preconditions, task_tag
from service.tasks.paging import TaskQuery
from service.tasks.schemas import DOCUMENT, NewTask, Task, TaskPatch, TaskReplacement

# The time as seconds since the epoch: asyncpg takes ten times as long to make a datetime of a timestamptz.
FIELDS = f"{DOCUMENT} AS document, date_part('epoch', updated_at) AS updated_at"

# Strictly later than before, even when two changes share a microsecond or the clock went back.
_NEXT = "GREATEST(clock_timestamp(), updated_at + interval '1 microsecond')"

# The account may have ended while its rows are still being removed.
_LIVES = "EXISTS (SELECT FROM users WHERE id = $2 AND ended_at IS NULL)"

# $1 id, $2 user, $3 the states that are allowed, $4 those that are not; NULL for no condition
_MINE = (
    "id = $1 AND user_id = $2 AND ($3::timestamptz[] IS NULL OR updated_at = ANY ($3))"
    f" AND ($4::timestamptz[] IS NULL OR updated_at <> ALL ($4)) AND {_LIVES}"
)

INSERT = Statement(
    "task_insert",
    f"INSERT INTO tasks (id, user_id, title, description) SELECT $1, $2, $3, $4 WHERE {_LIVES} RETURNING {FIELDS}",
)
SELECT = Statement(
    "task_select",
    f"SELECT {FIELDS} FROM tasks WHERE id = $1 AND user_id = $2 AND {_LIVES}",  # noqa: S608
    reads=True,
)
REPLACE = Statement(
    "task_replace",
    f"UPDATE tasks SET title = $5, description = CASE WHEN $6 THEN $7 ELSE description END, updated_at = {_NEXT}"  # noqa: S608
    f" WHERE {_MINE} RETURNING {FIELDS}",
)
PATCH = Statement(
    "task_patch",
    "UPDATE tasks SET title = COALESCE($5, title), description = CASE WHEN $6 THEN $7 ELSE description END,"  # noqa: S608
    f" completed = COALESCE($8, completed), updated_at = {_NEXT} WHERE {_MINE} RETURNING {FIELDS}",
)
TOGGLE = Statement(
    "task_toggle",
    f"UPDATE tasks SET completed = NOT completed, updated_at = {_NEXT} WHERE {_MINE} RETURNING {FIELDS}",  # noqa: S608
)
DELETE = Statement("task_delete", f"DELETE FROM tasks WHERE {_MINE} RETURNING id")  # noqa: S608


class TaskStore:
    """The tasks of one user. There is no way to ask it for anybody else's."""

    __slots__ = ("_db", "_user_id")

    def __init__(self, db: Executor, user_id: UUID) -> None:
        self._db = db
        self._user_id = user_id

    async def create(self, task: NewTask) -> Task:
        """Raises Unauthorized when the account is gone."""
        task_id = uuid7()
        try:
            row = await self._db.fetchrow(INSERT, task_id, self._user_id, task.title, task.description)
        except asyncpg.ForeignKeyViolationError as error:
            raise Unauthorized from error
        if row is None:
            raise Unauthorized
        return _task(task_id, row)

    async def get(self, task_id: UUID) -> Task:
        """Raises TaskNotFound, as do all methods that take an id."""
        row = await self._db.fetchrow(SELECT, task_id, self._user_id)
        if row is None:
            raise TaskNotFound
        return _task(task_id, row)

    async def page(self, query: TaskQuery) -> list[bytes]:
        """The documents of the page's tasks, and at least one more when there is a next page.

        Raises Unauthorized when the account is gone.
        """
        rows = await self._db.fetch(query.statement, *query.arguments(self._user_id))
        if not rows:
            raise Unauthorized
        return [row[0] for row in rows if row[0] is not None]

    async def count(self, query: TaskQuery) -> int:
        """How many tasks match the query's filters, on all pages together."""
        statement, arguments = query.counting(self._user_id)
        row = await self._db.fetchrow(statement, *arguments)
        return 0 if row is None else int(row[0])

    # Raise PreconditionFailed when the task is in a state that the conditions exclude.

    async def replace(self, task_id: UUID, task: TaskReplacement, conditions: Preconditions) -> Task:
        described = "description" in task.model_fields_set
        row = await self._write(REPLACE, task_id, conditions, task.title, described, task.description)
        return _task(task_id, row)

    async def patch(self, task_id: UUID, patch: TaskPatch, conditions: Preconditions) -> Task:
        given = patch.model_fields_set
        row = await self._write(
            PATCH,
            task_id,
            conditions,
            patch.title if "title" in given else None,
            "description" in given,
            patch.description,
            patch.completed if "completed" in given else None,
        )
        return _task(task_id, row)

    async def toggle(self, task_id: UUID, conditions: Preconditions) -> Task:
        return _task(task_id, await self._write(TOGGLE, task_id, conditions))

    async def delete(self, task_id: UUID, conditions: Preconditions) -> None:
        await self._write(DELETE, task_id, conditions)

    async def _write(
        self, statement: Statement, task_id: UUID, conditions: Preconditions, *values: object
    ) -> asyncpg.Record:
        row = await self._db.fetchrow(statement, task_id, self._user_id, *conditions, *values)
        if row is not None:
            return row
        current = await self.get(task_id)
        raise PreconditionFailed(headers={"ETag": current.tag})


def _task(task_id: UUID, row: asyncpg.Record) -> Task:
    document, updated_at = row
    return Task(task_id, document, task_tag(updated_at))
