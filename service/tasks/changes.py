"""What has changed since a token: one page of live and deleted tasks in the order of the user's clock.

A token says up to where its holder has seen everything. It is signed and bound to its user.
"""

import base64
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

from service.database.pool import Executor, Statement
from service.problems import Invalid, SyncTokenExpired, Unauthorized
from service.tasks.fields import COLUMNS, document
from service.tasks.pages import bounded, fitting
from service.tasks.parameters import LIMIT_MAX
from service.tasks.store import microseconds

MAC_BYTES = 12
_PACKED = struct.Struct(">q16sqq")
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
    """When it had last seen everything: what was deleted since then has to be known still."""


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
_DELETED_AT = """to_char(key AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_DELETION = f"""convert_to(concat('{{"type":"deleted","id":"', id, '","deleted_at":"', {_DELETED_AT}, '"}}'), 'UTF8')"""

# $1 user, $2 and $3 the position, $4 where a first sync began, NULL when that is now, $5 how many
_ROWS = (
    f"(SELECT {_COLUMNS}, updated_at AS key, true AS live FROM tasks"  # noqa: S608  fixed text
    " WHERE user_id = $1 AND (updated_at, id) > ($2, $3) ORDER BY updated_at, id LIMIT $5)"
    " UNION ALL"
    f" (SELECT {_COLUMNS}, deleted_at, false FROM deleted_tasks"
    " WHERE user_id = $1 AND (deleted_at, id) > ($2, $3) AND deleted_at > coalesce($4, users.tasks_clock)"
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
READ = Statement(
    "task_changes",
    f"SELECT {_EPOCH.format('tasks_clock')}, {_EPOCH.format('statement_timestamp()')}, {_EPOCH.format('key')},"  # noqa: S608  fixed text
    f" change.id, live, document FROM users LEFT JOIN LATERAL ({_PAGE}) AS change ON true"
    " WHERE users.id = $1 AND ended_at IS NULL",
    reads=True,
)

NOW = Statement(
    "task_clock_now",
    f"SELECT {_EPOCH.format('tasks_clock')}, {_EPOCH.format('statement_timestamp()')} FROM users"  # noqa: S608  fixed text
    " WHERE id = $1 AND ended_at IS NULL",
    reads=True,
)


class SyncTokens:
    def __init__(self, key: bytes, *, retention_seconds: float) -> None:
        """`retention_seconds` is how long a token is good."""
        self._key = key
        self.retention_seconds = retention_seconds

    def write(self, user_id: UUID, p: Position) -> str:
        packed = _PACKED.pack(p.clock, p.task_id, p.first_sync, p.complete_at)
        return base64.urlsafe_b64encode(self._mac(user_id, packed) + packed).rstrip(b"=").decode()

    def read(self, user_id: UUID, text: str, given_as: str = "since") -> Position:
        """Raises Invalid for a token that is none, or another user's."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            packed = raw[MAC_BYTES:]
            if not hmac.compare_digest(raw[:MAC_BYTES], self._mac(user_id, packed)):
                raise ValueError  # noqa: TRY301  one way out for every kind of nonsense
            return Position(*_PACKED.unpack(packed))
        except (ValueError, struct.error):
            raise Invalid.field(given_as, "This is no sync token of this user", "sync_token") from None

    def _mac(self, user_id: UUID, packed: bytes) -> bytes:
        return blake2b(user_id.bytes + packed, key=self._key, digest_size=MAC_BYTES).digest()


async def read_changes(
    db: Executor, user_id: UUID, since: Position, *, limit: int, retention_seconds: float
) -> Changes:
    """At most `limit` changes behind `since`. Raises Unauthorized when the account is gone, or SyncTokenExpired."""
    first_sync = None if since == BEGINNING else _time(since.first_sync)
    rows = await db.fetch(READ, user_id, _time(since.clock), UUID(bytes=since.task_id), first_sync, limit + 1)
    if not rows:
        raise Unauthorized
    clock, now = microseconds(rows[0][0]), microseconds(rows[0][1])
    begun = since
    if since == BEGINNING:
        begun = Position(0, _NO_ID, first_sync=clock, complete_at=now)
    elif since.complete_at < now - retention_seconds * 1_000_000:
        raise SyncTokenExpired
    changes = [] if rows[0][2] is None else [_change(begun, *row[2:]) for row in rows]
    shown = changes[: len(fitting([change.document for change in changes], limit))]
    if len(shown) < len(changes):
        return Changes(shown, shown[-1].position, more=True, clock=clock, now=now)
    return Changes(shown, Position(max(clock, begun.clock), _ANY_ID, 0, now), more=False, clock=clock, now=now)


async def read_position(db: Executor, user_id: UUID) -> Changes:
    """No changes, and the position behind all that there have been so far. Raises Unauthorized."""
    row = await db.fetchrow(NOW, user_id)
    if row is None:
        raise Unauthorized
    clock, now = microseconds(row[0]), microseconds(row[1])
    return Changes([], Position(clock, _ANY_ID, 0, now), more=False, clock=clock, now=now)


def _change(begun: Position, at: float, task_id: UUID, live: bool, document: bytes) -> Change:  # noqa: FBT001  a row
    kind = "task" if live else "deleted"
    written = b'{"type":"task","task":%b}' % document if live else document
    return Change(kind, written, Position(microseconds(at), task_id.bytes, begun.first_sync, begun.complete_at))


def _time(microseconds_since_1970: int) -> datetime:
    return _1970 + timedelta(microseconds=microseconds_since_1970)
