"""Cursors are bound to their user, their list and their key."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from service.problems import Invalid
from service.tasks.cursors import Cursors
from service.tasks.paging import TaskQuery, parse_list_query
from service.tasks.signing import Signer

ADA, EVE = UUID(int=1), UUID(int=2)
KEY = b"k" * 32
LAST = {
    "id": str(UUID(int=7)),
    "title": 'é"\U0001f600',
    "created_at": "2026-01-02T03:04:05.678901Z",
    "updated_at": "2026-01-02T03:04:05.000000Z",
}
KEYS = {
    "title": LAST["title"],
    "created_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "updated_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}


def following(query: TaskQuery, key: bytes = KEY, user: UUID = ADA) -> dict[str, str]:
    return dict(query.next_page(Cursors(Signer(key)), user, json.dumps(LAST).encode()))


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "updated_at", "title", "-title"])
def test_a_cursor_leads_behind_the_last_task(sort: str) -> None:
    parameters = following(parse_list_query(f"sort={sort}&limit=3"))
    query = parse_list_query(urlencode(parameters)).behind(Cursors(Signer(KEY)), ADA)
    assert query.arguments(ADA) == (ADA, 4, None, KEYS[sort.removeprefix("-")], UUID(int=7))


def test_the_link_repeats_what_was_asked_and_nothing_else() -> None:
    given = following(parse_list_query("q=a%26b&completed=true&created_from=2026-01-01T00:00:00%2B01:00"))
    assert set(given) == {"q", "completed", "created_from", "cursor"}
    assert (given["q"], given["completed"]) == ("a&b", "true")


@pytest.mark.parametrize(
    ("asked", "user", "key"),
    [("", EVE, KEY), ("", ADA, b"x" * 32), ("sort=title", ADA, KEY), ("q=x", ADA, KEY), ("completed=true", ADA, KEY)],
)
def test_a_cursor_is_of_no_use_elsewhere(asked: str, user: UUID, key: bytes) -> None:
    cursor = following(parse_list_query(""))["cursor"]
    query = parse_list_query(f"{asked}&cursor={cursor}".strip("&"))
    with pytest.raises(Invalid) as caught:
        query.behind(Cursors(Signer(key)), user)
    assert caught.value.errors[0]["pointer"] == "cursor"


def test_the_limit_may_change_from_page_to_page() -> None:
    cursor = following(parse_list_query("limit=3"))["cursor"]
    assert parse_list_query(f"limit=50&cursor={cursor}").behind(Cursors(Signer(KEY)), ADA).limit == 50


@pytest.mark.parametrize("text", ["", "A", "AAAA", "é", "%", "\0", "A" * 4000, "====", "..", "-_-_" * 20])
def test_nonsense_is_no_cursor(text: str) -> None:
    query = TaskQuery(parse_list_query("").parameters.model_copy(update={"cursor": text}))
    with pytest.raises(Invalid):
        query.behind(Cursors(Signer(KEY)), ADA)


def test_values_never_become_part_of_a_statement() -> None:
    hostile: Any = "x') OR 1=1; --"
    query = parse_list_query("q=x')%20OR%201=1;%20--")
    assert hostile not in query.statement.sql
    assert f"%{hostile}%" in query.arguments(ADA)
