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
    ("GET", "/tasks/{task_id}", None),
    ("HEAD", "/tasks/{task_id}", None),
    ("PUT", "/tasks/{task_id}", {"title": "stolen"}),
    ("PATCH", "/tasks/{task_id}", {"title": "stolen", "completed": True}),
    ("PATCH", "/tasks/{task_id}/complete", None),
    ("DELETE", "/tasks/{task_id}", None),
    ("POST", "/trash/{task_id}/restore", None),
    ("DELETE", "/trash/{task_id}", None),
]
ON_A_LIST: list[tuple[str, str, Any]] = [
    ("GET", "/tasks", None),
    ("HEAD", "/tasks", None),
    ("POST", "/tasks", {"title": "planted"}),
    ("POST", "/tasks/batch", {"operations": [{"op": "create", "task": {"title": "planted"}}]}),
    ("GET", "/tasks/changes", None),
    ("GET", "/trash", None),
    ("GET", "/labels", None),
    ("DELETE", "/trash", None),
]
BATCHES: list[dict[str, Any]] = [
    {"op": "patch", "task": {"title": "stolen"}},
    {"op": "complete"},
    {"op": "reopen"},
    {"op": "delete"},
    {"op": "restore"},
]


def rows_of(database: Database, user: User) -> list[tuple[object, ...]]:
    """Everything that the user has, the clock among it."""
    found: list[tuple[object, ...]] = []
    for table, key in (("tasks", "user_id"), ("deleted_tasks", "user_id"), ("users", "id")):
        rows = database.query(f"SELECT * FROM {table} WHERE {key} = $1 ORDER BY id", UUID(user.id))
        found += [tuple(row) for row in rows]
    return found


def secret_of(owner: User, path: str) -> dict[str, Any]:
    """A task where the path would find it."""
    task = owner.create("secret", description="very")
    if path.startswith("/trash"):
        owner.http.delete(owner.path(task))
    return task


def same(first: httpx.Response, second: httpx.Response) -> bool:
    if first.request.method == "HEAD":
        headers = [{k: v for k, v in r.headers.items() if k not in ("x-request-id", "date")} for r in (first, second)]
        return first.status_code == second.status_code and headers[0] == headers[1] and not first.content
    return comparable(first) == comparable(second)


def test_the_table_has_every_task_route(visitor: httpx.Client) -> None:
    described = {
        (method.upper(), path.removeprefix("/api/{user_id}"))
        for path, operations in visitor.get("/openapi.json").json()["paths"].items()
        if path.startswith("/api/{user_id}/")
        for method in operations
        if method in ("get", "head", "put", "post", "patch", "delete")
    }
    tested = {(method, path) for method, path, _ in (*ON_A_TASK, *ON_A_LIST)}
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
    method, path, body = request_
    path = f"/api/{user.id}{path}"
    foreign = secret_of(other_user, request_[1])
    before, mine = rows_of(database, other_user), rows_of(database, user)
    on_foreign = user.http.request(method, path.format(task_id=foreign["id"]), json=body, headers=headers)
    on_unknown = user.http.request(method, path.format(task_id=UNKNOWN), json=body, headers=headers)
    assert on_foreign.status_code == 404
    if method != "HEAD":
        assert_problem(on_foreign, 404, "task_not_found")
    assert same(on_foreign, on_unknown)
    assert rows_of(database, other_user) == before
    assert rows_of(database, user) == mine


@pytest.mark.parametrize("operation", BATCHES, ids=lambda operation: str(operation["op"]))
def test_a_foreign_task_in_a_batch_is_the_same_404_as_an_unknown_one(
    user: User, other_user: User, database: Database, operation: dict[str, Any]
) -> None:
    foreign = secret_of(other_user, "/trash" if operation["op"] == "restore" else "/tasks")
    before, mine = rows_of(database, other_user), rows_of(database, user)
    on_foreign, on_unknown = (
        user.http.post(f"{user.tasks}/batch", json={"operations": [{**operation, "id": task_id}]})
        for task_id in (foreign["id"], UNKNOWN)
    )
    assert_problem(on_foreign, 404, "task_not_found")
    assert same(on_foreign, on_unknown)
    assert rows_of(database, other_user) == before
    assert rows_of(database, user) == mine


def test_no_trash_and_no_changes_show_anothers_tasks(user: User, other_user: User) -> None:
    secret_of(other_user, "/trash"), secret_of(other_user, "/tasks")
    assert user.http.get(f"/api/{user.id}/trash").json() == []
    assert user.http.get(f"{user.tasks}/changes").json()["changes"] == []
    other_user.create()
    cursor = other_user.http.get(other_user.tasks, params={"limit": 1}).links["next"]["url"].partition("?")[2]
    assert_problem(user.http.get(f"{user.tasks}?{cursor}"), 422, "validation_error")
    secret_of(other_user, "/trash")
    cursor = (
        other_user.http.get(f"/api/{other_user.id}/trash", params={"limit": 1}).links["next"]["url"].partition("?")[2]
    )
    assert_problem(user.http.get(f"/api/{user.id}/trash?{cursor}"), 422, "validation_error")


@pytest.mark.parametrize("request_", [*ON_A_LIST, *ON_A_TASK])
def test_another_users_path_is_the_same_403_whoever_it_is(
    user: User, other_user: User, database: Database, request_: tuple[str, str, Any]
) -> None:
    method, path, body = request_
    foreign = secret_of(other_user, path)
    before = rows_of(database, other_user)
    path = path.format(task_id=foreign["id"])
    on_foreign = user.http.request(method, f"/api/{other_user.id}{path}", json=body)
    on_unknown = user.http.request(method, f"/api/{UNKNOWN}{path}", json=body)
    on_nonsense = user.http.request(method, f"/api/nobody{path}", json=body)
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
    assert other_user.list() == []


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
