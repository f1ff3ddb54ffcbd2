"""Creating and reading tasks."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem, faults
from tests.support.server import Service
from tests.support.users import User

FIELDS = {
    *("id", "user_id", "title", "description", "completed", "created_at", "updated_at"),
    *("completed_at", "due_on", "due_at", "priority", "labels"),
}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
JSON = {"Content-Type": "application/json"}
SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def test_a_new_task_has_an_id_an_owner_and_the_servers_time(user: User) -> None:
    response = user.http.post(user.tasks, json={"title": "buy milk", "description": "two bottles"})
    assert response.status_code == 201
    task = response.json()
    assert set(task) == FIELDS
    assert UUID(task["id"]).version == 7
    assert (task["user_id"], task["title"], task["description"]) == (user.id, "buy milk", "two bottles")
    assert task["completed"] is False
    assert TIMESTAMP.fullmatch(task["created_at"])
    assert task["created_at"] == task["updated_at"]
    assert abs(datetime.fromisoformat(task["created_at"]) - datetime.now(UTC)) < timedelta(seconds=1)


def test_a_new_task_says_where_it_is(user: User) -> None:
    response = user.http.post(user.tasks, json={"title": "buy milk"})
    location = response.headers["location"]
    assert location == f"/api/{user.id}/tasks/{response.json()['id']}"
    read = user.http.get(location)
    assert (read.json(), read.headers["etag"]) == (response.json(), response.headers["etag"])


def test_a_description_is_optional_and_null_without_one(user: User) -> None:
    assert user.create()["description"] is None
    assert user.create(description=None)["description"] is None
    assert user.create(description="")["description"] == ""


def test_three_created_are_three_listed_newest_first(user: User) -> None:
    created = [user.create(f"task {number}") for number in range(3)]
    assert user.list() == created[::-1]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("x", "x"),
        ("x" * 500, "x" * 500),
        ("\U0001f600" * 500, "\U0001f600" * 500),
        ("  buy milk\t\n", "buy milk"),
        (" " * 300 + "x" * 500 + " " * 300, "x" * 500),
        ("\u00a0\u2003buy\u2003milk\u3000", "buy\u2003milk"),
        ("e\u0301", "e\u0301"),
        ('<script>"\\\u2028x', '<script>"\\\u2028x'),
        ("\x01\x1f\x7f\ufffe", "\x01\x1f\x7f\ufffe"),
        ("'; DROP TABLE tasks; --", "'; DROP TABLE tasks; --"),
        ("$1 %s {0} %(x)s", "$1 %s {0} %(x)s"),
    ],
)
def test_titles_are_kept_as_they_are_but_for_spaces_around(
    user: User, database: Database, sent: str, stored: str
) -> None:
    task = user.create(sent)
    assert task["title"] == stored
    assert database.value("SELECT title FROM tasks WHERE id = $1", UUID(task["id"])) == stored
    assert user.http.get(user.path(task)).json()["title"] == stored


def test_descriptions_are_kept_byte_for_byte(user: User) -> None:
    description = "  \n\u00e9e\u0301\U0001f469\u200d\U0001f4bb" + "x" * 9_990
    assert len(description) == 10_000 - 1
    assert user.create(description=description + " ")["description"] == description + " "


@pytest.mark.parametrize(
    ("body", "where", "why"),
    [
        ({}, "/title", "missing"),
        ({"title": ""}, "/title", "too_short"),
        ({"title": " \t\n\u00a0"}, "/title", "too_short"),
        ({"title": "x" * 501}, "/title", "too_long"),
        ({"title": None}, "/title", "string_type"),
        ({"title": 5}, "/title", "string_type"),
        ({"title": ["x"]}, "/title", "string_type"),
        ({"title": {"$ne": 1}}, "/title", "string_type"),
        ({"title": "a\0b"}, "/title", "nul"),
        ({"title": "x", "description": "a\0b"}, "/description", "nul"),
        ({"title": "x", "description": "x" * 10_001}, "/description", "too_long"),
        ({"title": "x", "description": 5}, "/description", "string_type"),
        ({"title": "x", "completed": True}, "/completed", "unknown_field"),
        ({"title": "x", "id": SOME_ID}, "/id", "unknown_field"),
        ({"title": "x", "user_id": SOME_ID}, "/user_id", "unknown_field"),
        ({"title": "x", "created_at": "2020-01-01T00:00:00Z"}, "/created_at", "unknown_field"),
        ({"title": "x", "a/b~c": 1}, "/a~1b~0c", "unknown_field"),
        ([], "", "model_type"),
        ("x", "", "model_type"),
        (None, "", "model_type"),
        (5, "", "model_type"),
    ],
)
def test_an_invalid_task_is_not_stored(idle_user: User, body: object, where: str, why: str) -> None:
    response = idle_user.http.post(idle_user.tasks, content=json.dumps(body), headers=JSON)
    assert faults(response) == {(where, why)}
    assert idle_user.list() == []


def test_every_fault_of_a_body_is_named(idle_user: User) -> None:
    response = idle_user.http.post(idle_user.tasks, json={"title": "", "description": 1, "colour": "red"})
    assert faults(response) == {("/title", "too_short"), ("/description", "string_type"), ("/colour", "unknown_field")}


@pytest.mark.parametrize(
    "body",
    [
        rb'{"title": "a\ud800b"}',
        rb'{"title": "\udc00"}',
        rb'{"title": "x", "\ud800": 1}',
        rb'{"title": "\ude00\ud83d"}',
    ],
)
def test_half_of_a_surrogate_pair_is_refused(idle_user: User, body: bytes) -> None:
    response = idle_user.http.post(idle_user.tasks, content=body, headers=JSON)
    assert faults(response) == {("", "lone_surrogate")}
    assert idle_user.list() == []


def test_a_whole_surrogate_pair_is_one_character(user: User) -> None:
    response = user.http.post(user.tasks, content=rb'{"title": "\ud83d\ude00"}', headers=JSON)
    assert response.json()["title"] == "\U0001f600"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"title": "x"',
        b'{"title": "x"} x',
        b"{'title': 'x'}",
        b'{"title": "x",}',
        b'{"title": x}',
        b'{"title": "x"}{"title": "y"}',
        b'{"title": "\xff"}',
        b'{"title": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"title": "x"}',
        '{"title": "x"}'.encode("utf-16"),
        b'{"title": "x", "description": NaN}',
        b'{"title": "x", "description": -Infinity}',
        b"NaN",
        b'{"title": "a\nb"}',
        b"title=x",
    ],
)
def test_what_is_not_json_is_a_400(idle_user: User, body: bytes) -> None:
    assert_problem(idle_user.http.post(idle_user.tasks, content=body, headers=JSON), 400, "not_json")
    assert idle_user.list() == []


MALFORMED = [
    "x",
    "1",
    "0" * 32,
    SOME_ID + "0",
    "{" + SOME_ID[1:-1] + "}",
    "a" * 36,
    SOME_ID[:-2] + "_0",
    "-" * 4 + "0" * 32,
]


@pytest.mark.parametrize("task_id", MALFORMED)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "toggle"])
def test_a_malformed_id_is_a_422(idle_user: User, method: str, task_id: str) -> None:
    verb, suffix = ("PATCH", "/complete") if method == "toggle" else (method, "")
    body: Any = {"title": "x"} if verb in ("PUT", "PATCH") else None
    response = idle_user.http.request(verb, f"{idle_user.tasks}/{task_id}{suffix}", json=body)
    assert faults(response) == {("task_id", "uuid")}


def test_ids_are_read_in_any_case(service: Service, user: User) -> None:
    task = user.create()
    response = user.http.get(f"/api/{user.id.upper()}/tasks/{task['id'].upper()}")
    assert response.json() == task
    assert (
        user.http.post(f"/api/{user.id.upper()}/tasks", json={"title": "y"}).headers["location"].startswith(user.tasks)
    )


def test_tasks_of_a_deleted_account_cannot_be_made(service: Service, user: User, database: Database) -> None:
    assert user.http.delete("/api/auth/me").status_code == 204
    assert_problem(user.http.post(user.tasks, json={"title": "x"}), 401, "unauthorized")
    assert database.value("SELECT count(*) FROM tasks WHERE user_id = $1", UUID(user.id)) == 0


def test_an_answer_is_json_that_nobody_sniffs(user: User) -> None:
    response: httpx.Response = user.http.get(user.tasks)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("step", [1, 100_000])  # the second one ends in zeros, which stand in an answer all the same
@pytest.mark.parametrize("time", ["1969-12-31 23:59:59.5Z", "1999-12-31 23:59:59.999999Z", "2242-01-01 00:00:00Z"])
def test_times_are_those_of_the_database_to_the_microsecond(
    user: User, database: Database, time: str, step: int
) -> None:
    for _ in range(50):
        user.create()
    rows = database.query(
        "UPDATE tasks SET created_at = $1::text::timestamptz + floor(random() * 1e6 / $3) * $3 * interval '1 us',"
        " updated_at = $1::text::timestamptz + floor(random() * 1e6 / $3) * $3 * interval '1 us'"
        " WHERE user_id = $2 RETURNING id, created_at, updated_at",
        time,
        UUID(user.id),
        step,
    )
    shown = {task["id"]: task for task in user.http.get(user.tasks, params={"sort": "created_at"}).json()}
    for row in rows:
        expected = [row[name].strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name in ("created_at", "updated_at")]
        assert [shown[str(row["id"])][name] for name in ("created_at", "updated_at")] == expected
