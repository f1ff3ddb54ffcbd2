"""The trash: what was deleted can be listed, restored and erased until its time is over.

What is erased leaves its id behind, so that clients which follow the changes still hear that it was deleted. Its
content goes from the answers, too, that are kept for repeated requests.
"""

from datetime import UTC, datetime
from uuid import UUID

from service.database.pool import Executor, Statement
from service.problems import DatabaseBusy, PreconditionFailed, TaskNotFound, TooManyTasks, Unauthorized
from service.rest.conditional import ANY_STATE, Preconditions, task_tag
from service.rest.idempotency import forgetting
from service.tasks.account import fetch_of_account, of_account
from service.tasks.clock import LOCK, advance, in_states
from service.tasks.fields import COLUMNS, CONTENT, DELETED_AT, FIELDS, document
from service.tasks.pages import bounded, joined, page_of
from service.tasks.parameters import LIMIT_MAX
from service.tasks.store import TRIES, Task, task_of

ERASE_PORTION = 1000
PURGE_PORTION = 1000
_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
KEPT_LONGER_SECONDS = 3600
"""A sync token is good for the trash's retention; what it may have to tell is forgotten this much later."""

# $1 id, $2 user
_MINE = "deleted_tasks.id = $1 AND user_id = $2 AND title IS NOT NULL"
_KEPT = "deleted_at > now() - make_interval(secs => {})"
_ERASED = ", ".join(f"{name} = NULL" for name in CONTENT)
_KNOWN = {f.name: f.name if f.default == "NULL" else f"coalesce({f.name}, {f.default})" for f in FIELDS}
"""What was deleted before a field came has its default, as the tasks have it that were there then."""

_RESTORED = ", ".join("now" if name == "updated_at" else _KNOWN[name] for name in COLUMNS)


def _list(behind: str = "") -> Statement:
    rows = (
        f"SELECT {', '.join(f'{known} AS {name}' for name, known in _KNOWN.items())}, deleted_at, deleted_at AS key"  # noqa: S608  fixed text
        " FROM deleted_tasks"
        f" WHERE user_id = $1 AND title IS NOT NULL AND {_KEPT.format('$2')} {behind}"
        " ORDER BY deleted_at DESC, id DESC LIMIT $3"
    )
    page = bounded(rows, order="key DESC, id DESC", limit=LIMIT_MAX, document=document((*FIELDS, DELETED_AT)))
    return Statement("trash_list", of_account("documents, lengths", joined(page)), reads=True)


FIRST, LATER = _list(), _list("AND (deleted_at, id) < ($4, $5)")
RESTORE = Statement(
    "trash_restore",
    f"WITH {LOCK}, found AS (DELETE FROM deleted_tasks USING head"  # noqa: S608  fixed text
    f" WHERE {_MINE} AND {_KEPT.format('$3')} AND coalesce(tasks_count, 0) < $4 AND {in_states(5)}"
    " RETURNING deleted_tasks.*, now),"
    f" task AS (INSERT INTO tasks ({', '.join(COLUMNS)}, clocked)"
    f" SELECT {_RESTORED}, true FROM found"
    f" ON CONFLICT (id) DO NOTHING RETURNING {document()} AS document, date_part('epoch', updated_at) AS updated_at),"
    f" {advance('task', count=+1)} SELECT document, updated_at FROM task",
)
FOUND = Statement(
    "trash_find",
    "SELECT coalesce(tasks_count, 0), date_part('epoch', updated_at) FROM deleted_tasks"  # noqa: S608  fixed text
    f" JOIN users ON users.id = user_id WHERE {_MINE} AND {_KEPT.format('$3')} AND ended_at IS NULL",
    reads=True,
)
ERASE = Statement(
    "trash_erase",
    f"UPDATE deleted_tasks SET {_ERASED} WHERE {_MINE} AND {in_states(3)} AND deleted_at <= $5 RETURNING id",  # noqa: S608  fixed text
)
STATE = Statement(
    "trash_state",
    f"SELECT date_part('epoch', updated_at) FROM deleted_tasks WHERE {_MINE}",  # noqa: S608  fixed text
    reads=True,
)
LOCK_USER = Statement(
    "trash_lock",
    "SELECT GREATEST(tasks_clock, clock_timestamp()) FROM users WHERE id = $1 AND ended_at IS NULL FOR NO KEY UPDATE",
)
FORGET = forgetting("shown.id = $3")
# Looked up by the key alone: where PostgreSQL takes the trash for small, it would read all of it for each portion.
FORGET_ALL = forgetting(
    "(SELECT user_id = $1 AND title IS NOT NULL AND deleted_at <= $3 FROM deleted_tasks"
    " WHERE id = substring(shown.id FROM '^[0-9a-f-]{36}$')::uuid)"
)
ERASE_SOME = Statement(
    "trash_erase_some",
    f"UPDATE deleted_tasks SET {_ERASED} WHERE id IN (SELECT id FROM deleted_tasks"  # noqa: S608  fixed text
    f" WHERE user_id = $1 AND title IS NOT NULL AND (deleted_at, id) > ($2, $3) AND deleted_at <= $4"
    f" ORDER BY deleted_at, id LIMIT {ERASE_PORTION} FOR UPDATE) RETURNING deleted_at, id",
)
PURGE = Statement(
    "trash_purge",
    "DELETE FROM deleted_tasks WHERE id IN (SELECT id FROM deleted_tasks"  # noqa: S608  fixed text
    f" WHERE deleted_at < now() - make_interval(secs => $1 + {KEPT_LONGER_SECONDS})"
    f" ORDER BY deleted_at LIMIT {PURGE_PORTION} FOR UPDATE SKIP LOCKED) RETURNING id",
)


class TrashStore:
    """The deleted tasks of one user."""

    __slots__ = ("_db", "_retention_seconds", "_tasks_max", "_user_id")

    def __init__(self, db: Executor, user_id: UUID, *, retention_seconds: float, tasks_max: int) -> None:
        self._db = db
        self._user_id = user_id
        self._retention_seconds = retention_seconds
        self._tasks_max = tasks_max

    async def page(self, limit: int, behind: tuple[datetime, UUID] | None) -> tuple[bytes, bytes | None]:
        """A JSON array, last deleted first, and its last document when more follow.

        Raises Unauthorized when the account is gone.
        """
        statement = FIRST if behind is None else LATER
        place = (self._retention_seconds, limit + 1, *(behind or ()))
        [row] = await fetch_of_account(self._db, statement, self._user_id, *place)
        return page_of(row[0], row[1], limit)

    async def restore(self, task_id: UUID, states: Preconditions = ANY_STATE) -> Task:
        """`states` are of the task before it was deleted. Raises TaskNotFound, PreconditionFailed or TooManyTasks."""
        mine = (task_id, self._user_id, self._retention_seconds)
        for _ in range(TRIES):
            row = await self._db.fetchrow(RESTORE, *mine, self._tasks_max, *states)
            if row is not None:
                return task_of(task_id, row)
            found = await self._db.fetchrow(FOUND, *mine)
            if found is None:
                raise TaskNotFound
            if found[0] >= self._tasks_max:
                raise TooManyTasks(self._tasks_max)
            if not states.allow(tag := task_tag(found[1])):
                raise PreconditionFailed(headers={"ETag": tag})
        raise DatabaseBusy  # while the statement waited, the task was deleted or the count fell, each time

    async def erase(self, task_id: UUID, states: Preconditions = ANY_STATE) -> None:
        """`states` are of the task before it was deleted. Raises TaskNotFound or PreconditionFailed.

        Its answers go first, in portions, and it itself only as it was before they did: one that was restored and
        deleted again meanwhile may be shown in new ones.
        """
        mine = (task_id, self._user_id)
        for _ in range(TRIES):
            until = await self._now(self._db)
            found = None if until is None else await self._db.fetchrow(STATE, *mine)
            if found is None:
                raise TaskNotFound
            if not states.allow(tag := task_tag(found[0])):
                raise PreconditionFailed(headers={"ETag": tag})
            await self._forget(FORGET, str(task_id))
            if await self._db.fetchrow(ERASE, *mine, *states, until) is not None:
                return
        raise DatabaseBusy

    async def erase_all(self) -> None:
        """In portions, each of which is a transaction: a fault in the middle leaves less than there was.

        Their answers go first; what comes after the beginning stays in both. A portion begins behind the one before it,
        and does not walk over what that has erased. It waits, behind the user's lock, for whoever else restores or
        erases: what they are at may yet stay as it was. Raises Unauthorized when the account is gone.
        """
        until = await self._lock(self._db)
        await self._forget(FORGET_ALL, until)
        place: tuple[datetime, UUID] | None = _BEGINNING
        while place is not None:
            async with self._db.transaction() as transaction:
                await self._lock(transaction)
                erased = await transaction.fetch(ERASE_SOME, self._user_id, *place, until)
            place = max((row[0], row[1]) for row in erased) if len(erased) == ERASE_PORTION else None

    async def _forget(self, statement: Statement, shown: object) -> None:
        key: str | None = ""
        while key is not None:
            [row] = await self._db.fetch(statement, self._user_id, key, shown)
            key = row[0]

    async def _lock(self, db: Executor) -> datetime:
        """As `_now`. Raises Unauthorized when the account is gone."""
        now = await self._now(db)
        if now is None:
            raise Unauthorized
        return now

    async def _now(self, db: Executor) -> datetime | None:
        """The time, behind all that has been deleted so far, read under the user's lock; None for a gone account."""
        locked = await db.fetchrow(LOCK_USER, self._user_id)
        return None if locked is None else locked[0]
