"""The list: its parameters, its statement and its pages.

Pages are keyset pages: a cursor holds the sort key of the last task shown, and the next page starts behind it, so that
page 10,000 costs what page 1 costs and no task is skipped or shown twice while others are written.
"""

from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
)

from service.database.statement import Statement, shared_read
from service.rest.bodies import STORABLE, storable
from service.tasks.account import of_account
from service.tasks.cursors import Cursors
from service.tasks.fields import DUE, document
from service.tasks.model import PRIORITIES
from service.tasks.orders import ORDERS, Sort
from service.tasks.pages import RENDERS_MAX, SENDS_MAX, bounded, joined
from service.tasks.parameters import (
    LIMIT_DEFAULT,
    Boolean,
    Cursor,
    DueFrom,
    DueTo,
    FilterLabels,
    Limit,
    Priorities,
    Time,
    parse_query,
)
from service.tasks.search import search

SEARCH_MAX = 200

# $1 user, $2 how many, $3 the clock at which the page is known
_FIRST_FILTER = 4

_CLOCK = "date_part('epoch', users.tasks_clock)"
_COLUMNS = f"documents, lengths, {_CLOCK}, tasks_count"


class ListParameters(BaseModel):
    """The query string of the list; ranges include both of their ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None
    sort: Sort = "-created_at"
    completed: Boolean | None = None
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
    due_from: DueFrom | None = None
    due_to: DueTo | None = None
    priority: Priorities | None = None
    label: FilterLabels | None = None


class TaskQuery:
    """One parsed list request; immutable, so that polling clients share it."""

    def __init__(
        self,
        parameters: ListParameters,
        asked: tuple[tuple[str, str], ...] = (),
        after: tuple[object, UUID] | None = None,
    ) -> None:
        """`asked` is the query string; `after` the sort key and the id of the task that the page starts behind."""
        self.parameters = parameters
        self.limit = parameters.limit
        self._asked = asked
        self._order = ORDERS[parameters.sort.removeprefix("-")]
        self._clauses, self._values = _filters(parameters)
        self._after = after

    @cached_property
    def statement(self) -> Statement:
        """One row: documents in order, the page's and at least one more when there is a next page; and the clock.

        No documents where the clock is the one that is given: then the page is known.
        """
        if self.unfiltered and self._after is None and self.limit <= RENDERS_MAX:
            return _first_page(self.parameters.sort, self.limit > SENDS_MAX)
        first = len(self._values) + _FIRST_FILTER
        after = None
        if self._after is not None:
            after = (f"${first}", f"${first + 1}", self._after[0] is not None)
        down = self.parameters.sort.startswith("-")
        rows = self._order.rows(("user_id = $1", *self._clauses), down=down, limit="$2", after=after)
        page = bounded(rows, order=self._order.of_rows(down=down), limit=self.limit)
        return Statement("task_list", of_account(_COLUMNS, joined(page, unless=_is_known("$3"))), reads=True)

    @property
    def filters(self) -> str:
        """What a cursor is bound to beside its user: a page of another list makes no sense here."""
        return repr(self.parameters.model_dump(exclude={"cursor", "limit"}))

    @property
    def unfiltered(self) -> bool:
        return not self._values

    @cached_property
    def digest(self) -> str:
        """What a page's entity tag has beside the clock: another query, or another form of tasks, is another page."""
        asked = f"{document()}\n{self.parameters!r}".encode("utf-8", "surrogatepass")
        return blake2b(asked, digest_size=16).hexdigest()

    @property
    def is_first(self) -> bool:
        """Whether it is for the first page of its list."""
        return self._after is None

    def behind(self, cursors: Cursors, user_id: UUID) -> "TaskQuery":
        """The query, starting behind its cursor if it has one. Raises Invalid."""
        text = self.parameters.cursor
        if text is None:
            return self
        key, task_id = cursors.read(user_id, self.filters, text)
        return TaskQuery(self.parameters, self._asked, (self._order.argument(key), UUID(task_id)))

    def next_page(self, cursors: Cursors, user_id: UUID, last: bytes) -> list[tuple[str, str]]:
        """The query string's parameters for the page that starts behind `last`, a task's document."""
        task = orjson.loads(last)
        cursor = cursors.write(user_id, self.filters, [self._order.key(task), task["id"]])
        return [*((name, value) for name, value in self._asked if name != "cursor"), ("cursor", cursor)]

    def arguments(self, user_id: UUID, known_clock: float | None = None) -> tuple[UUID, *tuple[object, ...]]:
        """`known_clock` is the user's clock at which the page is known, in seconds since the epoch."""
        return user_id, self.limit + 1, known_clock, *self._values, *(self._after or ())

    def counting(self, user_id: UUID) -> tuple[Statement, list[object]]:
        # $2 and $3 stay what they are in a page's statement, so that the filters keep their numbers.
        where = " AND ".join(("user_id = $1", "$2::int IS NULL", "$3::float8 IS NULL", *self._clauses))
        sql = f"SELECT count(*) FROM tasks WHERE {where}"  # noqa: S608  fixed texts
        return Statement("task_count", sql, reads=True), [user_id, None, None, *self._values]


@lru_cache
def _first_page(sort: Sort, measured: bool) -> Statement:  # noqa: FBT001  lru_cache knows arguments by their places
    """Of an unfiltered list: all of them cost the same, so that callers may share the statement.

    `measured` is whether PostgreSQL has to see how long the documents are.
    """
    order, down = ORDERS[sort.removeprefix("-")], sort.startswith("-")

    def write(*, user_id: str, count: str, known_clock: str) -> str:
        rows = order.rows((f"user_id = {user_id}",), down=down, limit=count)
        page = bounded(rows, order=order.of_rows(down=down), limit=RENDERS_MAX if measured else SENDS_MAX)
        return of_account(_COLUMNS, joined(page, unless=_is_known(known_clock)), user_id=user_id)

    return shared_read("task_list", write, large=True, user_id="uuid", count="int", known_clock="float8")


def _is_known(clock: str) -> str:
    return f"{_CLOCK} = {clock}"


def _filters(p: ListParameters) -> tuple[tuple[str, ...], tuple[object, ...]]:
    found: list[tuple[str, object]] = [
        ("completed = {}", p.completed),
        *([] if p.q is None else [search(p.q)]),
        ("created_at >= {}", p.created_from),
        ("created_at <= {}", p.created_to),
        ("updated_at >= {}", p.updated_from),
        ("updated_at <= {}", p.updated_to),
        # As text, since the driver would take the first and the last moment of all for infinite ones.
        (f"{DUE} >= {{}}::text::timestamptz", p.due_from and p.due_from.isoformat()),
        (f"{DUE} <= {{}}::text::timestamptz", p.due_to and p.due_to.isoformat()),
        ("priority = ANY ({}::smallint[])", p.priority and [PRIORITIES.index(name) for name in p.priority]),
        ("labels @> {}::text[]", p.label and list(p.label)),
    ]
    given = [(clause, value) for clause, value in found if value is not None]
    return (
        tuple(clause.format(f"${number}") for number, (clause, _) in enumerate(given, start=_FIRST_FILTER)),
        tuple(value for _, value in given),
    )


@lru_cache(1024)
def parse_list_query(query_string: str) -> TaskQuery:
    """Raises Invalid."""
    parameters = parse_query(ListParameters, query_string)
    return TaskQuery(parameters, tuple(parse_qsl(query_string, keep_blank_values=True)))
