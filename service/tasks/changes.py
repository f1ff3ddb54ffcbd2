"""What has changed since a token: one page of live and deleted tasks in the order of the user's clock.

A token says up to where its holder has seen everything. It is signed and bound to its user.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from service.database.pool import Executor, Statement
from service.problems import Invalid, SyncTokenExpired
from service.tasks.account import fetch_of_account, of_account
from service.tasks.fields import COLUMNS, document, moment
from service.tasks.pages import bounded, fitting
from service.tasks.parameters import LIMIT_MAX
from service.tasks.signing import KEY_ID_BYTES, Signer, unverified
from service.tasks.store import microseconds

SCOPE = "changes"
_PACKED = struct.Struct(f">q16sqq{KEY_ID_BYTES}s")
_NO_ID, _ANY_ID = bytes(16), b"\xff" * 16
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = "date_part('epoch', {})"


@dataclass(frozen=True, slots=True)
class Position:
    """How far a client has come; times are of the database's clock, in microseconds since the epoch."""

    clock: int
    task_id: bytes
    """Of the last change seen, for changes of releases that could give two the same time."""

    first_sync: int
    """Deletions up to this time are none of its business: it began without any task. 0 once it has come that far."""

    complete_at: int
    """When it had last seen everything: what was deleted since then has to be known still. Told in steps."""


STEP_SECONDS_MAX = 60.0
"""In such steps a token tells how old it is, so that whoever repeats one gets the same answer, next token included."""

BEGINNING = Position(0, _NO_ID, 0, 0)


class Change(NamedTuple):
    """`document` is as in the answer; the position is behind this change."""

    kind: str
    document: bytes
    position: Position


class Changes(NamedTuple):
    changes: list[Change]
    position: Position
    more: bool
    clock: int
    """The user's clock when this was read; like `now`, in microseconds since the epoch and of the database's clock."""

    now: int


_COLUMNS = ", ".join(COLUMNS)
# Without its content, of which nothing is told: a page would end by the length of what is not on it.
_DELETED_COLUMNS = ", ".join(name if name in {"id", "user_id"} else "NULL" for name in COLUMNS)
_DELETION = (
    f"""convert_to(concat('{{"type":"deleted","id":"', id, '","deleted_at":"', {moment("key")}, '"}}'), 'UTF8')"""
)

# $1 user, $2 and $3 the position, $4 where a first sync began, NULL when that is now, $5 how many
_UNHEARD = "coalesce($4, users.tasks_clock)"
# One place in the index, behind both: as two conditions, a first sync would walk over all that was deleted before it.
_LAST_ID = "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
_DELETED_BEHIND = f"(GREATEST($2, {_UNHEARD}), CASE WHEN {_UNHEARD} >= $2 THEN {_LAST_ID} ELSE $3 END)"
_ROWS = (
    f"(SELECT {_COLUMNS}, updated_at AS key, true AS live FROM tasks"  # noqa: S608  fixed text
    " WHERE user_id = $1 AND (updated_at, id) > ($2, $3) ORDER BY updated_at, id LIMIT $5)"
    " UNION ALL"
    f" (SELECT {_DELETED_COLUMNS}, deleted_at, false FROM deleted_tasks"
    f" WHERE user_id = $1 AND (deleted_at, id) > {_DELETED_BEHIND}"
    " ORDER BY deleted_at, id LIMIT $5)"
    " ORDER BY key, id LIMIT $5"
)
_PAGE = bounded(
    _ROWS,
    order="key, id",
    limit=LIMIT_MAX,
    document=f"CASE WHEN live THEN {document()} ELSE {_DELETION} END",
    also=", key, id, live",
)
_CLOCK = f"{_EPOCH.format('tasks_clock')}, {_EPOCH.format('statement_timestamp()')}"
READ = Statement(
    "task_changes",
    of_account(f"{_CLOCK}, {_EPOCH.format('key')}, found.id, live, document", _PAGE),
    reads=True,
)
NOW = Statement(
    "task_clock_now",
    f"SELECT {_CLOCK} FROM users WHERE id = $1 AND ended_at IS NULL",  # noqa: S608  fixed text
    reads=True,
)


class SyncTokens:
    def __init__(self, signer: Signer, *, retention_seconds: float) -> None:
        """`retention_seconds` is how long a token is good."""
        self._signer = signer
        self.retention_seconds = retention_seconds

    def write(self, user_id: UUID, p: Position) -> str:
        key_id = self._signer.key_ids[0]
        return self._signer.seal(user_id, SCOPE, _PACKED.pack(p.clock, p.task_id, p.first_sync, p.complete_at, key_id))

    def read(self, user_id: UUID, text: str, given_as: str = "since") -> Position:
        """Raises Invalid for a token that is none, or another user's; SyncTokenExpired when its key is there no more.

        Clients know what to do then, and a key is changed without asking them.
        """
        try:
            *_, key_id = _PACKED.unpack(unverified(text))
            if key_id not in self._signer.key_ids:
                raise SyncTokenExpired
            *place, _ = _PACKED.unpack(self._signer.unseal(user_id, SCOPE, text))
            return Position(*place)
        except (ValueError, struct.error):
            raise Invalid.field(given_as, "This is no sync token of this user", "sync_token") from None


async def read_changes(
    db: Executor, user_id: UUID, since: Position, *, limit: int, retention_seconds: float
) -> Changes:
    """At most `limit` changes behind `since`. Raises Unauthorized when the account is gone, or SyncTokenExpired."""
    first_sync = None if since == BEGINNING else _time(since.first_sync)
    place = (_time(since.clock), UUID(bytes=since.task_id), first_sync)
    rows = await fetch_of_account(db, READ, user_id, *place, limit + 1)
    clock, now = microseconds(rows[0][0]), microseconds(rows[0][1])
    step = _step(retention_seconds)
    seen_at = now - now % step
    begun = since
    if since == BEGINNING:
        begun = Position(0, _NO_ID, first_sync=clock, complete_at=seen_at)
    elif since.complete_at + step < now - retention_seconds * 1_000_000:
        raise SyncTokenExpired
    changes = [] if rows[0][2] is None else [_change(begun, *row[2:]) for row in rows]
    shown = changes[: fitting([len(change.document) for change in changes], limit)]
    if len(shown) < len(changes):
        return Changes(shown, shown[-1].position, more=True, clock=clock, now=now)
    behind = Position(max(clock, begun.clock), _ANY_ID, 0, max(seen_at, begun.complete_at))
    return Changes(shown, behind, more=False, clock=clock, now=now)


async def read_position(db: Executor, user_id: UUID, *, retention_seconds: float) -> Changes:
    """No changes, and the position behind all that there have been so far. Raises Unauthorized."""
    [row] = await fetch_of_account(db, NOW, user_id)
    clock, now = microseconds(row[0]), microseconds(row[1])
    behind = Position(clock, _ANY_ID, 0, now - now % _step(retention_seconds))
    return Changes([], behind, more=False, clock=clock, now=now)


def _change(begun: Position, at: float, task_id: UUID, live: bool, document: bytes) -> Change:  # noqa: FBT001  a row
    kind = "task" if live else "deleted"
    written = b'{"type":"task","task":%b}' % document if live else document
    return Change(kind, written, Position(microseconds(at), task_id.bytes, begun.first_sync, begun.complete_at))


def _step(retention_seconds: float) -> int:
    """In microseconds. A token is good for a step longer, which `KEPT_LONGER_SECONDS` in the trash allows for."""
    return max(1, int(min(STEP_SECONDS_MAX, retention_seconds / 100) * 1_000_000))


def _time(microseconds_since_1970: int) -> datetime:
    return _1970 + timedelta(microseconds=microseconds_since_1970)
