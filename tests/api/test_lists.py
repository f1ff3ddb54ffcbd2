"""The list's filters, search, order and count."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.support.database import Database
from tests.support.problems import faults
from tests.support.server import Service
from tests.support.users import User, sign_up

COUNT = {"Prefer": "count=exact"}


def titles(tasks: list[dict[str, Any]]) -> list[str]:
    return [task["title"] for task in tasks]


def test_an_empty_list_is_an_array_without_a_next_page(user: User) -> None:
    response = user.http.get(user.tasks)
    assert (response.status_code, response.json()) == (200, [])
    assert "link" not in response.headers
    assert response.headers["etag"].startswith('"')


@pytest.fixture(scope="module")
def stocked(service: Service) -> Iterator[User]:
    with sign_up(service.url) as user:
        for title in ("Buy MILK", "STRAßE", "éclair", "100% done", "snake_case", "back\\slash", "it's", "\U0001f600"):
            user.create(title)
        user.create("plain", description="something HIDDEN here")
        yield user


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("milk", {"Buy MILK"}),
        ("MiLk", {"Buy MILK"}),
        ("y m", {"Buy MILK"}),
        ("straße", {"STRAßE"}),
        ("ÉCLAIR", {"éclair"}),
        ("100%", {"100% done"}),
        ("%", {"100% done"}),
        ("_", {"snake_case"}),
        ("a_l", set()),
        ("\\", {"back\\slash"}),
        ("\\%", set()),
        ("\\_", set()),
        ("'", {"it's"}),
        ('"', set()),
        ("hidden", {"plain"}),
        ("\U0001f600", {"\U0001f600"}),
        (".*", set()),
        ("nowhere", set()),
    ],
)
def test_search_finds_text_literally_and_in_any_case(stocked: User, query: str, found: set[str]) -> None:
    assert set(titles(stocked.list(q=query))) == found


def test_only_completed_or_only_open_tasks(user: User) -> None:
    done, still_open = user.create("done"), user.create("open")
    user.http.patch(f"{user.path(done)}/complete")
    assert titles(user.list(completed="true")) == ["done"]
    assert titles(user.list(completed="false")) == ["open"]
    assert user.list(completed="false") == [still_open]


def test_ranges_include_both_ends(user: User, database: Database) -> None:
    created = [user.create(str(number)) for number in range(3)]
    for number, task in enumerate(created):
        database.query(
            "UPDATE tasks SET created_at = $2::text::timestamptz, updated_at = $3::text::timestamptz WHERE id = $1",
            *(UUID(task["id"]), f"2024-01-0{number + 1}T00:00:00Z", f"2024-02-0{number + 1}T00:00:00.000001Z"),
        )
    second = "2024-01-02T00:00:00Z"
    assert titles(user.list(created_from=second)) == ["2", "1"]
    assert titles(user.list(created_to=second)) == ["1", "0"]
    assert titles(user.list(created_from=second, created_to=second)) == ["1"]
    assert titles(user.list(created_from="2024-01-02T03:00:00+03:00", created_to=second)) == ["1"]
    assert titles(user.list(updated_from="2024-02-02T00:00:00.000002Z")) == ["2"]
    assert titles(user.list(updated_to="2024-02-02T00:00:00.000000Z")) == ["0"]
    assert user.list(created_from="9999-12-31T23:59:59Z") == []
    # a plus sign that was not encoded arrives as a space
    response = user.http.get(f"{user.tasks}?created_from=2024-01-02T03:00:00+03:00")
    assert titles(response.json()) == ["2", "1"]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("created_at", "cba"),
        ("-created_at", "abc"),
        ("updated_at", "bac"),
        ("-updated_at", "cab"),
        ("title", "abc"),
        ("-title", "cba"),
    ],
)
def test_lists_are_sorted_as_asked(user: User, sort: str, order: str) -> None:
    made = {title: user.create(title) for title in "cba"}
    for title in "bac":
        user.http.patch(user.path(made[title]), json={})
    assert "".join(titles(user.list(sort=sort))) == order


def test_titles_are_sorted_by_code_point(user: User) -> None:
    for title in ("b", "B", "a", "é", "Z", "1"):
        user.create(title)
    assert titles(user.list(sort="title")) == ["1", "B", "Z", "a", "b", "é"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1e2", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=true", "limit"),
        ("sort=", "sort"),
        ("sort=id", "sort"),
        ("sort=title,created_at", "sort"),
        ("sort=--title", "sort"),
        ("sort=title;DROP", "sort"),
        ("sort=Title", "sort"),
        ("completed=", "completed"),
        ("completed=1", "completed"),
        ("completed=True", "completed"),
        ("q=", "q"),
        ("q=" + "x" * 201, "q"),
        ("q=%00", "q"),
        ("created_from=yesterday", "created_from"),
        ("created_from=", "created_from"),
        ("created_from=2024-01-01", "created_from"),
        ("created_from=2024-01-01T00:00:00", "created_from"),
        ("created_to=2024-13-01T00:00:00Z", "created_to"),
        ("updated_from=0001-01-01T00:00:00%2B14:00", "updated_from"),
        ("updated_to=9999-12-31T23:59:59-14:00", "updated_to"),
        ("updated_to=%00", "updated_to"),
        ("page=2", "page"),
        ("offset=2", "offset"),
        ("user_id=x", "user_id"),
        ("LIMIT=5", "LIMIT"),
        ("limit=1&limit=2", "limit"),
        ("q=a&q=a", "q"),
        ("%C3%BC=1&%C3%BC=2", "\u00fc"),
        ("x" * 300 + "=1&" + "x" * 300 + "=2", "x" * 200),
        ("q=%FF", ""),
        ("q=%ED%A0%80", ""),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + "A" * 4097, "cursor"),
        ("cursor=" + "A" * 4096, "cursor"),
        ("&".join(f"x{number}=1" for number in range(51)), ""),
    ],
)
def test_an_invalid_parameter_is_a_422_that_names_it(idle_user: User, query: str, where: str) -> None:
    response = idle_user.http.get(f"{idle_user.tasks}?{query}")
    assert {pointer for pointer, _ in faults(response)} == {where}


def test_the_count_is_of_all_pages_and_only_on_demand(user: User) -> None:
    for number in range(5):
        task = user.create(f"task {number}")
    user.http.patch(f"{user.path(task)}/complete")
    assert "x-total-count" not in user.http.get(user.tasks).headers
    counts = {"": "5", "limit=2": "5", "completed=false": "4", "q=task 3": "1", "q=none": "0"}
    for query, count in counts.items():
        response = user.http.get(f"{user.tasks}?{query}", headers=COUNT)
        assert response.headers["x-total-count"] == count, query
        assert response.headers["preference-applied"] == "count=exact"


@pytest.mark.parametrize("prefer", ["count=exact, return=minimal", "respond-async; count=exact", 'count="exact"'])
def test_a_preference_among_others_is_honoured(idle_user: User, prefer: str) -> None:
    response = idle_user.http.get(idle_user.tasks, headers={"Prefer": prefer})
    assert response.headers["x-total-count"] == "0"


@pytest.mark.parametrize("prefer", ["count", "count=planned", "count=exactly", "return=minimal", ""])
def test_other_preferences_are_left_alone(idle_user: User, prefer: str) -> None:
    assert "x-total-count" not in idle_user.http.get(idle_user.tasks, headers={"Prefer": prefer}).headers
