"""Keyset pages: every task once, whatever the order, whatever others write meanwhile."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest

from service.tasks.paging import ListParameters, TaskQuery
from tests.support.database import Database, connected
from tests.support.problems import faults
from tests.support.users import User

SORTS = ["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"]


def next_of(response: httpx.Response) -> str | None:
    link = response.headers.get("link")
    if link is None:
        return None
    assert link.startswith("</api/")
    assert link.endswith('>; rel="next"')
    return str(link[1:].partition(">")[0])


def pages(user: User, query: str) -> list[list[dict[str, Any]]]:
    found, path = [], f"{user.tasks}?{query}"
    for _ in range(50):
        response = user.http.get(path)
        assert response.status_code == 200, response.text
        found.append(response.json())
        following = next_of(response)
        if following is None:
            return found
        path = following
    raise AssertionError("the pages never end")


def fill(user: User, database: Database, count: int) -> None:
    """Tasks of which many share their times and titles."""
    database.query(
        "INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at)"
        " SELECT gen_random_uuid(), $1, 'title ' || n % 3, 'd', n % 2 = 0, now() - n % 4 * interval '1 hour',"
        " now() - n % 3 * interval '1 day' FROM generate_series(1, $2) AS n",
        *(UUID(user.id), count),
    )


@pytest.mark.parametrize("sort", SORTS)
def test_pages_show_every_task_once_and_in_order(user: User, database: Database, sort: str) -> None:
    fill(user, database, 25)
    whole = user.list(sort=sort, limit=500)
    assert len({task["id"] for task in whole}) == 25
    found = pages(user, f"sort={sort}&limit=4")
    assert [len(page) for page in found] == [4] * 6 + [1]
    assert list(itertools.chain(*found)) == whole
    field, down = sort.removeprefix("-"), sort.startswith("-")
    assert whole == sorted(whole, key=lambda task: (task[field], task["id"]), reverse=down)


@pytest.mark.parametrize("limit", [1, 5, 6, 500])
def test_a_last_page_that_is_just_full_has_no_next(user: User, limit: int) -> None:
    for number in range(5):
        user.create(str(number))
    found = pages(user, f"limit={limit}")
    assert len(found) == -(-5 // limit)
    assert sum(map(len, found)) == 5


def test_a_page_has_a_hundred_tasks_unless_asked_otherwise(user: User, database: Database) -> None:
    fill(user, database, 501)
    response = user.http.get(user.tasks)
    assert len(response.json()) == 100
    assert next_of(response)
    assert len(user.list(limit=500)) == 500


def test_the_next_page_keeps_filters_sort_and_limit(user: User, database: Database) -> None:
    fill(user, database, 30)
    query = "q=TITLE%20%31&completed=true&sort=title&limit=2&created_from=2020-01-01T00:00:00%2B02:00"
    whole = user.list(q="title 1", completed="true", sort="title", limit=500)
    assert len(whole) == 5
    assert list(itertools.chain(*pages(user, query))) == whole


@pytest.mark.parametrize("text", ["100% & more", "a+b", "x=y&z", "\U0001f600é", '"<>', "\\_%", "\u0001\u007f", "#?"])
def test_a_search_survives_the_way_through_the_link(user: User, text: str) -> None:
    for number in range(3):
        user.create(f"{number} {text}.")
    query = httpx.QueryParams({"q": text, "limit": 1})
    assert len(pages(user, str(query))) == 3


def test_a_page_may_end_in_a_title_of_any_kind(user: User) -> None:
    made = ["\U0010ffff" * 500, "\u0001" * 500, '"\\' * 250, "x" * 500]
    for title in made:
        user.create(title)
    assert [page[0]["title"] for page in pages(user, "sort=title&limit=1")] == sorted(made)


@pytest.mark.parametrize("sort", SORTS)
def test_what_others_write_shifts_no_page(user: User, database: Database, sort: str) -> None:
    fill(user, database, 12)
    before = user.list(sort=sort, limit=500)
    seen: list[dict[str, Any]] = []
    path: str | None = f"{user.tasks}?sort={sort}&limit=3"
    gone: set[str] = set()
    while path is not None:
        response = user.http.get(path)
        seen += response.json()
        path = next_of(response)
        user.create(f"title {len(seen)}")  # somewhere in between, in most orders
        gone.add(seen[-1]["id"])
        user.http.delete(user.path(seen[-1]))  # the very task that the cursor stands on
        user.http.delete(user.path(seen[0]))
        assert len(seen) < 100
    ids = [task["id"] for task in seen]
    assert len(ids) == len(set(ids)), "a task was shown twice"
    assert {task["id"] for task in before} <= set(ids), "a task was skipped"
    old = {task["id"] for task in before}
    assert [task for task in seen if task["id"] in old] == before


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def cursor_of(user: User, query: str = "limit=2") -> str:
    path = next_of(user.http.get(f"{user.tasks}?{query}"))
    assert path is not None
    return parse_qs(urlsplit(path).query)["cursor"][0]


@pytest.mark.parametrize(
    "query",
    [
        "sort=title",
        "sort=created_at",
        "completed=false",
        "q=title",
        "created_from=2020-01-01T00:00:00Z",
        "updated_to=2999-01-01T00:00:00Z",
    ],
)
def test_a_cursor_of_another_list_is_a_422(user: User, database: Database, query: str) -> None:
    fill(user, database, 10)
    plain, other = cursor_of(user), cursor_of(user, f"{query}&limit=2")
    assert faults(user.http.get(f"{user.tasks}?{query}&cursor={plain}")) == {("cursor", "cursor")}
    assert faults(user.http.get(f"{user.tasks}?cursor={other}")) == {("cursor", "cursor")}
    assert len(user.http.get(f"{user.tasks}?{query}&cursor={other}&limit=1").json()) == 1


def test_a_cursor_of_another_user_is_a_422(user: User, other_user: User, database: Database) -> None:
    fill(user, database, 3)
    fill(other_user, database, 3)
    foreign = cursor_of(other_user)
    assert faults(user.http.get(f"{user.tasks}?cursor={foreign}")) == {("cursor", "cursor")}


def test_a_cursor_changed_in_any_place_is_a_422(user: User, database: Database) -> None:
    fill(user, database, 3)
    cursor = cursor_of(user)
    forged = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(len(cursor) - 1)]
    for text in (
        *forged,
        cursor[:-4],
        cursor + "AAAA",
        cursor[4:],
        cursor * 2,
        cursor[:21],
        "=" + cursor,
        "." + cursor,
    ):
        response = user.http.get(user.tasks, params={"cursor": text})
        assert {pointer for pointer, _ in faults(response)} == {"cursor"}, text
    assert user.http.get(user.tasks, params={"cursor": cursor}).status_code == 200


PAGE_BYTES_MAX = 1024 * 1024
DOCUMENT_BYTES = 60_400
"""Of a task with 10,000 characters that take six bytes each in JSON."""


def fill_with_long_ones(user: User, database: Database, count: int) -> None:
    """Every third is short, so that where a page ends does not follow from how many tasks it has."""
    database.query(
        "INSERT INTO tasks (id, user_id, title, description, created_at)"
        " SELECT gen_random_uuid(), $1, 'long ' || n, CASE WHEN n % 3 > 0 THEN repeat(E'\\x01', 10000) END,"
        " now() - n % 7 * interval '1 hour' FROM generate_series(1, $2) n",
        *(UUID(user.id), count),
    )


@pytest.mark.parametrize("limit", [20, 32, 33, 100, 101, 500])
def test_a_page_ends_early_at_one_mebibyte_and_the_link_goes_on(user: User, database: Database, limit: int) -> None:
    fill_with_long_ones(user, database, 120)
    found: list[dict[str, Any]] = []
    path: str | None = f"{user.tasks}?limit={limit}"
    while path is not None:
        response = user.http.get(path)
        size, count = len(response.content), len(response.json())
        assert size <= PAGE_BYTES_MAX
        path = next_of(response)
        assert path is None or count == limit or size > PAGE_BYTES_MAX - DOCUMENT_BYTES, "no earlier than it must"
        found += response.json()
    assert len(found) == len({task["id"] for task in found}) == 120
    assert found == sorted(found, key=lambda task: (task["created_at"], task["id"]), reverse=True)


@pytest.mark.parametrize("sort", ["title", "-updated_at"])
async def test_the_database_stops_where_the_page_ends(user: User, database: Database, sort: str) -> None:
    """It neither renders nor sends what no page can hold."""
    await asyncio.to_thread(fill_with_long_ones, user, database, 400)
    query = TaskQuery(ListParameters.model_validate({"limit": "500", "sort": sort}))
    async with connected(database.url) as connection:
        rows = await connection.fetch(query.statement.sql, *query.arguments(UUID(user.id)))
        size = sum(len(row[0]) for row in rows)
        text = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {query.statement.sql}", *query.arguments(UUID(user.id))
        )
    assert PAGE_BYTES_MAX <= size < PAGE_BYTES_MAX + DOCUMENT_BYTES
    rendered = [node["Actual Rows"] for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Alias") == "measured"]
    assert rendered
    assert max(rendered) < 200
