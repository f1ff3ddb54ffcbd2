"""The orders of the list: what is sorted by, and where a page goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from service.tasks.fields import DUE
from service.tasks.model import PRIORITIES

Sort = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "title",
    "-title",
    "due",
    "-due",
    "priority",
    "-priority",
]


@dataclass(frozen=True, slots=True)
class Order:
    """`sql` is what is sorted by, as an index has it; a task's document gives its `key`, as a cursor keeps it in JSON.

    `argument` makes the statement's argument of that key, and `cast` is what SQL has to do to it. Where a key can be
    missing, tasks without one come last in both directions.
    """

    sql: str
    key: Callable[[dict[str, Any]], object]
    argument: Callable[[Any], object]
    can_be_missing: bool = False
    cast: str = ""

    def rows(
        self, clauses: tuple[str, ...], *, down: bool, limit: str, after: tuple[str, str, bool] | None = None
    ) -> str:
        """A page's tasks, with what they are sorted by as `key`; `limit` names the place of how many.

        `after` names the places of the key and the id that the page starts behind, and whether there is such a key.
        Ties are ordered by id, so that every task has its place. Two parts, where the second has those without a key,
        cost what one does: PostgreSQL begins the second when the first is exhausted. There the key decides nothing, and
        yet has to be named: by the id alone the order would not be the index's.
        """
        sign, direction = ("<", "DESC") if down else (">", "ASC")
        keyed = list(clauses)
        unkeyed = [*clauses, f"{self.sql} IS NULL"]
        if after is not None and after[2]:
            keyed.append(f"({self.sql}, id) {sign} ({after[0]}{self.cast}, {after[1]})")
        elif after is not None:
            unkeyed.append(f"id {sign} {after[1]} AND {after[0]}{self.cast} IS NULL")
        select = f"SELECT *, {self.sql} AS key FROM tasks WHERE"  # noqa: S608  fixed text
        by_key = f"ORDER BY {self.sql} {direction}, id {direction} LIMIT {limit}"
        first = f"{select} {' AND '.join(keyed)}"
        if not self.can_be_missing:
            return f"{first} {by_key}"
        second = f"{select} {' AND '.join(unkeyed)} {by_key}"
        if after is not None and not after[2]:
            return second
        return f"({first} AND {self.sql} IS NOT NULL {by_key}) UNION ALL ({second}) LIMIT {limit}"

    def of_rows(self, *, down: bool) -> str:
        """The order of such rows."""
        direction = "DESC" if down else "ASC"
        return f"key {direction}{' NULLS LAST' if self.can_be_missing else ''}, id {direction}"


def _due(task: dict[str, Any]) -> object:
    """As `fields.DUE` has it."""
    if task["due_on"] is None:
        return task["due_at"]
    return datetime.combine(date.fromisoformat(task["due_on"]), time.max, UTC).isoformat()


ORDERS = {
    "created_at": Order("created_at", lambda task: task["created_at"], datetime.fromisoformat),
    "updated_at": Order("updated_at", lambda task: task["updated_at"], datetime.fromisoformat),
    # By code point: the same on every server, whatever its locale or the version of its C library.
    "title": Order('title COLLATE "C"', lambda task: task["title"], str),
    # As text, since the driver would take the last moment of all for infinity.
    "due": Order(DUE, _due, lambda key: key, can_be_missing=True, cast="::text::timestamptz"),
    "priority": Order("priority", lambda task: PRIORITIES.index(task["priority"]), int),
}
