"""The list: its parameters, its statement and its cursor.

Pages are keyset pages: a cursor holds the sort key of the last task shown, and the next page starts behind it, so that
page 10,000 costs what page 1 costs and no task is skipped or shown twice while others are written.
"""

import base64
import hmac
import re
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from service.database.pool import Statement
from service.problems import Invalid
from service.rest.bodies import STORABLE, invalid, storable
from service.tasks.pages import bounded
from service.tasks.search import search

LIMIT_MAX = 500
LIMIT_DEFAULT = 100
SEARCH_MAX = 200
CURSOR_MAX = 4096
MAC_BYTES = 16
DIGITS_MAX = 9

# Titles are ordered by code point: the same on every server, whatever its locale or the version of its C library.
_COLUMNS = {"created_at": "created_at", "updated_at": "updated_at", "title": 'title COLLATE "C"'}

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)

Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"]


def _rfc3339(value: object) -> object:
    """The text of a timestamp, or ValueError: pydantic would take a number of seconds as well.

    A plus sign that a client forgot to encode arrives as a space; before an offset it can only be that plus sign.
    """
    if not isinstance(value, str):
        return value
    if not _RFC3339.fullmatch(value):
        raise ValueError("is not an RFC 3339 timestamp")
    return value[:-6] + value[-6:].replace(" ", "+")


def _in_range(value: datetime) -> datetime:
    """In UTC; beyond the years 1 to 9999 there is no such time, and no task either. Raises ValueError."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def _boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _number(value: object) -> object:
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX
        else value
    )


Time = Annotated[AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_in_range)]


class ListParameters(BaseModel):
    """The query string of the list; ranges include both of their ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(strict=True, ge=1, le=LIMIT_MAX), BeforeValidator(_number)] = LIMIT_DEFAULT
    cursor: Annotated[str, Field(max_length=CURSOR_MAX, json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"})] | None = (
        None
    )
    sort: Sort = "-created_at"
    completed: Annotated[bool, Field(strict=True), BeforeValidator(_boolean)] | None = None
    q: (
        Annotated[
            str, Field(min_length=1, max_length=SEARCH_MAX, json_schema_extra={**STORABLE}), AfterValidator(storable)
        ]
        | None
    ) = None
    created_from: Time | None = None
    created_to: Time | None = None
    updated_from: Time | None = None
    updated_to: Time | None = None


class TaskQuery:
    """One parsed list request; immutable, so that polling clients share it."""

    def __init__(self, parameters: ListParameters, after: tuple[object, UUID] | tuple[()] = ()) -> None:
        """`after` is the sort key and the id of the task that the page starts behind."""
        self.parameters = parameters
        self.limit = parameters.limit
        self._clauses, self._values = _filters(parameters)
        self._after = after

    @cached_property
    def statement(self) -> Statement:
        """Documents in order: the page's, and one more when there is a next page."""
        column = _COLUMNS[self.sort_field]
        down = self.parameters.sort.startswith("-")
        clauses = ["user_id = $1", *self._clauses]
        if self._after:
            first = len(self._values) + 3
            clauses.append(f"({column}, id) {'<' if down else '>'} (${first}, ${first + 1})")
        direction = "DESC" if down else "ASC"
        rows = (
            f"SELECT *, {column} AS key FROM tasks WHERE {' AND '.join(clauses)}"  # noqa: S608  fixed texts
            f" ORDER BY {column} {direction}, id {direction} LIMIT $2"
        )
        page = bounded(rows, f"key {direction}, id {direction}", self.limit)
        # One row without a document when there is no task, none when there is no account.
        return Statement(
            "task_list",
            f"SELECT page.* FROM users LEFT JOIN LATERAL ({page}) page ON true"  # noqa: S608  fixed texts
            " WHERE users.id = $1 AND users.ended_at IS NULL",
            reads=True,
        )

    @property
    def filters(self) -> str:
        """What a cursor is bound to beside its user: a page of another list makes no sense here."""
        return repr(self.parameters.model_dump(exclude={"cursor", "limit"}))

    @property
    def sort_field(self) -> str:
        return self.parameters.sort.removeprefix("-")

    def arguments(self, user_id: UUID) -> tuple[object, ...]:
        return user_id, self.limit + 1, *self._values, *self._after

    def counting(self, user_id: UUID) -> tuple[Statement, list[object]]:
        # $2 stays the limit's place, so that the filters keep their numbers.
        where = " AND ".join(("user_id = $1", "$2::int IS NULL", *self._clauses))
        sql = f"SELECT count(*) FROM tasks WHERE {where}"  # noqa: S608
        return Statement("task_count", sql, reads=True), [user_id, None, *self._values]


def _filters(p: ListParameters) -> tuple[tuple[str, ...], tuple[object, ...]]:
    found: list[tuple[str, object]] = [
        ("completed = {}", p.completed),
        *([] if p.q is None else [search(p.q)]),
        ("created_at >= {}", p.created_from),
        ("created_at <= {}", p.created_to),
        ("updated_at >= {}", p.updated_from),
        ("updated_at <= {}", p.updated_to),
    ]
    given = [(clause, value) for clause, value in found if value is not None]
    return (
        tuple(clause.format(f"${number}") for number, (clause, _) in enumerate(given, start=3)),
        tuple(value for _, value in given),
    )


@lru_cache(1024)
def parse_list_query(query_string: str) -> TaskQuery:
    """Raises Invalid."""
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise Invalid.field("", "The query string is not valid UTF-8, or has too many parameters", "query") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise Invalid.field("", "A parameter is given twice", "duplicate_parameter")
    try:
        return TaskQuery(ListParameters.model_validate(parameters))
    except ValidationError as error:
        raise invalid(error) from error


class Cursors:
    """Makes cursors and reads them back; they are signed, so that a forged, foreign or stale one is refused."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def resume(self, query: TaskQuery, user_id: UUID) -> TaskQuery:
        """The query, starting behind its cursor if it has one. Raises Invalid."""
        text = query.parameters.cursor
        if text is None:
            return query
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(query, user_id, payload)):
                raise ValueError  # noqa: TRY301  one way out for every kind of nonsense
            key, task_id = orjson.loads(payload)
        except ValueError:
            raise Invalid.field("cursor", "This cursor does not belong to this list", "cursor") from None
        if query.sort_field != "title":
            key = datetime.fromisoformat(key)
        return TaskQuery(query.parameters, (key, UUID(task_id)))

    def link(self, query: TaskQuery, user_id: UUID, path: str, last: bytes) -> str:
        """The value of a `Link` header for the page that starts behind `last`, a task's document."""
        task = orjson.loads(last)
        payload = orjson.dumps([task[query.sort_field], task["id"]])
        cursor = base64.urlsafe_b64encode(self._mac(query, user_id, payload) + payload).rstrip(b"=").decode()
        given: dict[str, Any] = query.parameters.model_dump(mode="json", exclude_unset=True, exclude={"cursor"})
        given = {k: str(v).lower() if isinstance(v, bool) else v for k, v in given.items()}
        return f'<{path}?{urlencode({**given, "cursor": cursor})}>; rel="next"'

    def _mac(self, query: TaskQuery, user_id: UUID, payload: bytes) -> bytes:
        bound = f"{user_id}\n{query.filters}\n".encode("utf-8", "surrogatepass")
        return blake2b(bound + payload, key=self._key, digest_size=MAC_BYTES).digest()
