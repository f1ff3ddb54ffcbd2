"""The pages that are asked for, and the statement behind each."""

import http.client
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from service.tasks import changes, labels, store, trash
from service.tasks.orders import ORDERS
from service.tasks.paging import TaskQuery, parse_list_query

LIMIT = 20
WALKED = 500
OK, NOT_MODIFIED, UNAVAILABLE = 200, 304, 503
RETENTION_SECONDS = 30 * 24 * 3600.0
NO_ID, ANY_ID = UUID(int=0), UUID(int=2**128 - 1)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)

LISTS = {
    "first page": "",
    "by title": "sort=title",
    "changed last": "sort=-updated_at",
    "completed (1 in 10)": "completed=true",
    "by due": "sort=due",
    "by due, last first": "sort=-due",
    "by priority": "sort=priority",
    "by priority, highest first": "sort=-priority",
    "due in a fortnight, by due": "sort=due&due_from=2026-03-01&due_to=2026-03-14",
    "due in a fortnight, newest first": "due_from=2026-03-01&due_to=2026-03-14",
    "high or medium (1 in 2)": "priority=high,medium",
    "urgent (1 in 1,000)": "priority=urgent",
    "label (1 in 10)": "label=home",
    "label (1 in 1,000)": "label=rare",
    "label of nobody": "label=nobody",
}
MIDDLES = {
    "middle page": ("-created_at", 0.5),
    "by due, middle of those that are": ("due", 0.25),
    "by due, middle of those that are not": ("due", 0.75),
    "by priority, middle page": ("-priority", 0.5),
}
KNOWN = "first page, which is known"
UNCHANGED = "unchanged list (304)"
EMPTY_FOR_SOME = frozenset(
    {
        "due in a fortnight, by due",
        "due in a fortnight, newest first",
        "urgent (1 in 1,000)",
        "label (1 in 1,000)",
        "label of nobody",
        UNCHANGED,
        "changes: nothing new",
        "trash, emptied",
    }
)
"""Any other page that is empty would be no measurement."""


@dataclass(frozen=True)
class Page:
    path: str
    sql: str
    arguments: tuple[object, ...]
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    status: int = OK


@dataclass
class User:
    tasks: int
    id: UUID
    token: str
    clock: datetime = _1970
    """Before the deletions, when `before` was the sync token."""

    before: str = ""
    pages: dict[str, Page] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/api/{self.id}"


class Client:
    def __init__(self, netloc: str) -> None:
        self._connection = http.client.HTTPConnection(netloc, timeout=30)

    def get(
        self, user: User, path: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self._connection.request("GET", path, headers={"Authorization": f"Bearer {user.token}", **headers})
        response = self._connection.getresponse()
        return response.status, response.headers, response.read()

    def read(self, user: User, path: str) -> tuple[http.client.HTTPMessage, Any]:
        """Ends the program when the answer is no 200."""
        status, headers, body = self.get(user, path)
        if status != OK:
            sys.exit(f"{path} answered {status}: {body[:500]!r}")
        return headers, json.loads(body)

    def post(self, path: str, document: object) -> Any:
        self._connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
        return json.load(self._connection.getresponse())

    def close(self) -> None:
        """As the service does when it has not heard of us for long; it opens again by itself."""
        self._connection.close()


def pages_of(client: Client, user: User) -> Iterator[tuple[str, Page]]:
    for name, parameters in LISTS.items():
        query = parse_list_query(f"limit={LIMIT}&{parameters}".rstrip("&"))
        path = f"{user.path}/tasks?limit={LIMIT}&{parameters}".rstrip("&")
        yield name, Page(path, query.statement.sql, query.arguments(user.id))
    yield KNOWN, _known(user)
    for name, (sort, part) in MIDDLES.items():
        yield name, _late(client, user, sort, int(user.tasks * part))
    yield UNCHANGED, unchanged(client, user)
    yield "labels", Page(f"{user.path}/labels", labels.READ.sql, (user.id, ""))
    yield from _changes(client, user)
    yield "trash", _trash(user)
    yield "trash, middle page", _trash_middle(client, user)


def _known(user: User) -> Page:
    """The first page once more, while the clock stands where it stood."""
    return Page(f"{user.path}/tasks?limit={LIMIT}", store.CLOCK.sql, (user.id,))


def _trash(user: User) -> Page:
    return Page(f"{user.path}/trash?limit={LIMIT}", trash.FIRST.sql, (user.id, RETENTION_SECONDS, LIMIT + 1))


def emptied(user: User) -> dict[str, Page]:
    return {"trash, emptied": _trash(user)}


def unchanged(client: Client, user: User) -> Page:
    path = f"{user.path}/tasks?limit={LIMIT}"
    headers, _ = client.read(user, path)
    return Page(path, store.CLOCK.sql, (user.id,), {"If-None-Match": headers["ETag"]}, NOT_MODIFIED)


def _late(client: Client, user: User, sort: str, behind: int) -> Page:
    """A cursor comes from a page, so that one walks there."""
    parameters = f"limit={LIMIT}&sort={sort}"
    path, body = _walk(client, user, f"{user.path}/tasks?sort={sort}", behind)
    order, last = ORDERS[sort.removeprefix("-")], body[-1]
    after = (order.argument(order.key(last)), UUID(last["id"]))
    query = TaskQuery(parse_list_query(parameters).parameters, after=after)
    return Page(path, query.statement.sql, query.arguments(user.id))


def _trash_middle(client: Client, user: User) -> Page:
    path, body = _walk(client, user, f"{user.path}/trash?", user.tasks // 4)  # every second one is erased
    after = (datetime.fromisoformat(body[-1]["deleted_at"]), UUID(body[-1]["id"]))
    return Page(path, trash.LATER.sql, (user.id, RETENTION_SECONDS, LIMIT + 1, *after))


def _walk(client: Client, user: User, path: str, far: int) -> tuple[str, list[dict[str, Any]]]:
    """The page behind the first `far`, and the one before it, in pages as large as there are."""
    step = min(WALKED, far)
    path, seen = f"{path}&limit={step}".replace("?&", "?"), 0
    while True:
        headers, body = client.read(user, path)
        seen += len(body)
        path = headers["Link"].partition(">")[0].removeprefix("<")
        if seen + step > far:
            return re.sub(r"limit=\d+", f"limit={LIMIT}", path), body


def _changes(client: Client, user: User) -> Iterator[tuple[str, Page]]:
    path = f"{user.path}/tasks/changes?limit={LIMIT}"
    yield "changes: first page of all", _change_page(user, path, _1970, NO_ID, None)
    since, seen, step = "", 0, min(WALKED, user.tasks // 2)
    while seen + step <= user.tasks // 2:
        _, page = client.read(user, f"{user.path}/tasks/changes?limit={step}{since}")
        since, seen = f"&since={page['next']}", seen + len(page["changes"])
    last = page["changes"][-1]["task"]
    place = datetime.fromisoformat(last["updated_at"]), UUID(last["id"])
    yield "changes: middle page of all", _change_page(user, path + since, *place, datetime.now(UTC))
    yield "changes: 20 deletions", _change_page(user, f"{path}&since={user.before}", user.clock, ANY_ID, _1970)
    since = _now(client, user)
    yield "changes: nothing new", _change_page(user, f"{path}&since={since}", datetime.now(UTC), ANY_ID, _1970)


def _change_page(user: User, path: str, clock: datetime, task_id: UUID, first_sync: datetime | None) -> Page:
    return Page(path, changes.READ.sql, (user.id, clock, task_id, first_sync, LIMIT + 1))


def _now(client: Client, user: User) -> str:
    """The token that a stream begins with, without a stream: behind all of the deletions."""
    since = user.before
    while True:
        _, page = client.read(user, f"{user.path}/tasks/changes?limit={WALKED}&since={since}")
        since = page["next"]
        if not page["more"]:
            return str(since)
