"""Nobody sees or touches another's tasks, nor learns that they exist."""

import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem, comparable
from tests.support.server import Service
from tests.support.users import User, client

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"

ON_A_TASK: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("HEAD", "", None),
    ("PUT", "", {"title": "stolen"}),
    ("PATCH", "", {"title": "stolen", "completed": True}),
    ("PATCH", "/complete", None),
    ("DELETE", "", None),
]
ON_A_LIST: list[tuple[str, str, Any]] = [("GET", "", None), ("HEAD", "", None), ("POST", "", {"title": "planted"})]


def rows_of(database: Database, user: User) -> list[tuple[object, ...]]:
    return [tuple(row) for row in database.query("SELECT * FROM tasks WHERE user_id = $1 ORDER BY id", UUID(user.id))]


def same(first: httpx.Response, second: httpx.Response) -> bool:
    if first.request.method == "HEAD":
        headers = [{k: v for k, v in r.headers.items() if k not in ("x-request-id", "date")} for r in (first, second)]
        return first.status_code == second.status_code and headers[0] == headers[1] and not first.content
    return comparable(first) == comparable(second)


def test_the_table_has_every_task_route(visitor: httpx.Client) -> None:
    described = {
        (method.upper(), path.removeprefix("/api/{user_id}/tasks"))
        for path, operations in visitor.get("/openapi.json").json()["paths"].items()
        if path.startswith("/api/{user_id}/")
        for method in operations
        if method in ("get", "head", "put", "post", "patch", "delete")
    }
    tested = {(method, "/{task_id}" + suffix) for method, suffix, _ in ON_A_TASK}
    tested |= {(method, suffix) for method, suffix, _ in ON_A_LIST}
    assert described <= tested


@pytest.mark.parametrize("request_", ON_A_TASK)
@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-Match": '"x"'}, {"If-None-Match": "*"}])
def test_a_foreign_task_is_the_same_404_as_an_unknown_one(
    user: User,
    other_user: User,
    database: Database,
    request_: tuple[str, str, Any],
    headers: dict[str, str],
) -> None:
    method, suffix, body = request_
    foreign = other_user.create("secret", description="very")
    before = rows_of(database, other_user)
    on_foreign = user.http.request(method, f"{user.tasks}/{foreign['id']}{suffix}", json=body, headers=headers)
    on_unknown = user.http.request(method, f"{user.tasks}/{UNKNOWN}{suffix}", json=body, headers=headers)
    assert on_foreign.status_code == 404
    if method != "HEAD":
        assert_problem(on_foreign, 404, "task_not_found")
    assert same(on_foreign, on_unknown)
    assert rows_of(database, other_user) == before
    assert rows_of(database, user) == []


@pytest.mark.parametrize(
    "request_",
    [*ON_A_LIST, *((method, f"/{{id}}{suffix}", body) for method, suffix, body in ON_A_TASK)],
)
def test_another_users_path_is_the_same_403_whoever_it_is(
    user: User, other_user: User, database: Database, request_: tuple[str, str, Any]
) -> None:
    method, suffix, body = request_
    foreign = other_user.create("secret")
    before = rows_of(database, other_user)
    path = suffix.format(id=foreign["id"])
    on_foreign = user.http.request(method, f"{other_user.tasks}{path}", json=body)
    on_unknown = user.http.request(method, f"/api/{UNKNOWN}/tasks{path}", json=body)
    on_nonsense = user.http.request(method, f"/api/nobody/tasks{path}", json=body)
    assert on_foreign.status_code == 403
    if method != "HEAD":
        assert_problem(on_foreign, 403, "forbidden")
    assert same(on_foreign, on_unknown)
    assert same(on_foreign, on_nonsense)
    assert rows_of(database, other_user) == before


def test_no_list_shows_anothers_tasks(user: User, other_user: User) -> None:
    mine, theirs = user.create("common title"), other_user.create("common title")
    for query in ({}, {"q": "common"}, {"sort": "title"}, {"completed": "false"}, {"limit": 500}):
        assert user.list(**query) == [mine]
        assert other_user.list(**query) == [theirs]
    assert user.http.get(user.tasks, headers={"Prefer": "count=exact"}).headers["x-total-count"] == "1"


def test_an_owner_in_the_body_is_refused(user: User, other_user: User, database: Database) -> None:
    response = user.http.post(user.tasks, json={"title": "planted", "user_id": other_user.id})
    assert_problem(response, 422, "validation_error")
    assert rows_of(database, other_user) == []


@pytest.mark.parametrize("name", ["X-User-Id", "X-Forwarded-User", "X-Original-URL", "X-HTTP-Method-Override"])
def test_no_header_changes_who_or_what(user: User, other_user: User, name: str) -> None:
    mine = user.create()
    value = "DELETE" if "Method" in name else other_user.id
    assert user.http.get(user.path(mine), headers={name: value}).json() == mine
    assert user.list() == [mine]


def test_faults_are_answered_in_order(service: Service, user: User, other_user: User) -> None:
    """401 before 403 before 422 before 404 before 412, each when everything after it is wrong too."""
    task = user.create()
    stale, bad_body = {"If-Match": '"stale"'}, {"title": ""}
    theirs = f"{other_user.tasks}/not-an-id"
    with client(service.url) as visitor:
        assert_problem(visitor.put(theirs, json=bad_body, headers=stale), 401, "unauthorized")
    assert_problem(user.http.put(theirs, json=bad_body, headers=stale), 403, "forbidden")
    assert_problem(
        user.http.put(f"{user.tasks}/not-an-id", json={"title": "x"}, headers=stale), 422, "validation_error"
    )
    assert_problem(user.http.put(f"{user.tasks}/{UNKNOWN}", json=bad_body, headers=stale), 422, "validation_error")
    assert_problem(user.http.put(f"{user.tasks}/{UNKNOWN}", json={"title": "x"}, headers=stale), 404, "task_not_found")
    assert_problem(user.http.put(user.path(task), json=bad_body, headers=stale), 422, "validation_error")
    assert_problem(user.http.put(user.path(task), json={"title": "x"}, headers=stale), 412, "precondition_failed")
    assert user.list() == [task]


def test_no_error_tells_how_the_service_is_made(user: User, visitor: httpx.Client) -> None:
    answers = [
        visitor.get("/nowhere"),
        visitor.put(user.tasks),
        user.http.get(f"{user.tasks}/x"),
        user.http.post(user.tasks, content=b"{", headers={"Content-Type": "application/json"}),
        user.http.get(user.tasks, params={"cursor": "x"}),
        visitor.post("/api/auth/signup", json={"email": user.email, "password": "long enough"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        text = answer.text + str(answer.headers)
        assert not re.search(
            r"(?i)sanic|tortoise|asyncpg|postgres|traceback|pydantic|select |\.py|users_email", text
        ), text
