"""The trash: listed, restored, erased, forgotten."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.rest import idempotency
from service.tasks import trash
from tests.support.database import Database, held
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import User

CONTENT = ("title", "description", "completed", "created_at", "updated_at", "completed_at")


def trash_of(user: User, **parameters: int) -> list[dict[str, Any]]:
    response = user.http.get(f"/api/{user.id}/trash", params=parameters)
    assert response.status_code == 200, response.text
    return list(response.json())


def delete(user: User, task: dict[str, Any]) -> None:
    assert user.http.delete(user.path(task)).status_code == 204


def test_a_deleted_task_is_seen_nowhere_but_in_the_trash(user: User) -> None:
    task, kept = user.create("gone", description="all of it"), user.create("kept")
    delete(user, task)
    assert_problem(user.http.delete(user.path(task)), 404, "task_not_found")
    assert_problem(user.http.get(user.path(task)), 404, "task_not_found")
    assert_problem(user.http.patch(f"{user.path(task)}/complete"), 404, "task_not_found")
    assert user.list() == [kept]
    assert user.list(q="gone") == []
    counted = user.http.get(user.tasks, headers={"Prefer": "count=exact"})
    assert counted.headers["X-Total-Count"] == "1"
    [found] = trash_of(user)
    assert found == {**task, "deleted_at": found["deleted_at"]}
    assert found["deleted_at"] > kept["updated_at"]


def test_a_restored_task_is_as_it_was(user: User) -> None:
    task = user.create("back", description="soon")
    task = user.http.patch(f"{user.path(task)}/complete").json()
    delete(user, task)
    response = user.http.post(f"/api/{user.id}/trash/{task['id']}/restore")
    assert response.status_code == 200
    restored = response.json()
    assert restored == {**task, "updated_at": restored["updated_at"]}
    assert restored["updated_at"] > task["updated_at"]
    assert response.headers["ETag"] == user.http.get(user.path(task)).headers["ETag"]
    assert user.list() == [restored]
    assert trash_of(user) == []
    assert_problem(user.http.post(f"/api/{user.id}/trash/{task['id']}/restore"), 404, "task_not_found")
    delete(user, task)
    assert len(trash_of(user)) == 1


@pytest.mark.parametrize("limit", [1, 100, 500])
def test_what_was_deleted_before_a_field_came_has_its_default(database: Database, user: User, limit: int) -> None:
    """Deleted in the middle of an upgrade, or before a downgrade: the column was not there to be filled."""
    task = user.create("old")
    delete(user, task)
    columns = "due_on = NULL, due_at = NULL, priority = NULL, labels = NULL"
    database.query(f"UPDATE deleted_tasks SET {columns} WHERE id = $1", task["id"])
    [deleted] = trash_of(user, limit=limit)
    assert (deleted["title"], deleted["priority"], deleted["labels"]) == ("old", "none", [])
    restored = user.http.post(f"/api/{user.id}/trash/{task['id']}/restore")
    assert restored.status_code == 200
    assert {**restored.json(), "updated_at": ""} == {**task, "updated_at": ""}


def test_the_trash_comes_in_pages_last_deleted_first(user: User) -> None:
    tasks = [user.create(str(number)) for number in range(7)]
    for task in tasks:
        delete(user, task)
    seen = []
    response = user.http.get(f"/api/{user.id}/trash", params={"limit": 3})
    while True:
        seen += [task["title"] for task in response.json()]
        if "next" not in response.links:
            break
        response = user.http.get(response.links["next"]["url"])
    assert seen == [str(number) for number in reversed(range(7))]


def test_what_is_erased_is_gone_from_the_database(database: Database, user: User) -> None:
    one, two, three = (user.create(title, description="secret") for title in ("one", "two", "three"))
    for task in (one, two, three):
        delete(user, task)
    path = f"/api/{user.id}/trash/{one['id']}"
    assert user.http.delete(path).status_code == 204
    assert_problem(user.http.delete(path), 404, "task_not_found")
    assert_problem(user.http.post(f"{path}/restore"), 404, "task_not_found")
    assert {task["id"] for task in trash_of(user)} == {two["id"], three["id"]}
    assert user.http.delete(f"/api/{user.id}/trash").status_code == 204
    assert user.http.delete(f"/api/{user.id}/trash").status_code == 204
    assert trash_of(user) == []
    rows = database.query("SELECT * FROM deleted_tasks WHERE user_id = $1", user.id)
    assert len(rows) == 3, "what remains is that these ids were deleted"
    assert all(row[name] is None for row in rows for name in CONTENT)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_erased_is_in_no_answer_that_is_kept_for_repeats(
    database: Database, user: User, *, whole: bool
) -> None:
    erased, kept = user.create("erased"), user.create(f'{{"id":"{uuid4()}"')
    secret, patch = {"title": "secret"}, {"op": "patch", "id": erased["id"], "task": {"title": "secret"}}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", user.path(erased), secret),
        ("POST", f"{user.tasks}/batch", {"operations": [{"op": "complete", "id": kept["id"]}, patch]}),
        ("PATCH", user.path(kept), {"description": f'{{"id":"{erased["id"]}"'}),
        ("POST", f"{user.tasks}/batch", {"operations": [{"op": "reopen", "id": kept["id"]}]}),
    ]

    def send() -> list[httpx.Response]:
        return [
            user.http.request(method, path, json=body, headers={"Idempotency-Key": f"{erased['id']}-{number}"})
            for number, (method, path, body) in enumerate(requests)
        ]

    first = send()
    delete(user, erased)
    assert [answer.content for answer in send()] == [answer.content for answer in first]
    assert user.http.delete(f"/api/{user.id}/trash" + ("" if whole else f"/{erased['id']}")).status_code == 204
    again = send()
    for answer in again[:2]:
        assert_problem(answer, 410, "answer_erased")
    assert [answer.content for answer in again[2:]] == [answer.content for answer in first[2:]]
    told = "SELECT count(*) FROM idempotency_keys WHERE user_id = $1 AND convert_from(body, 'UTF8') LIKE '%secret%'"
    assert database.value(told, user.id) == 0


def test_so_are_all_of_very_many_answers(database: Database, user: User) -> None:
    trashed = (
        "INSERT INTO deleted_tasks (id, user_id, deleted_at, title) SELECT gen_random_uuid(), $1, now(), 'secret'"
        " FROM generate_series(1, $2)"
    )
    answers = (
        "INSERT INTO idempotency_keys (id, user_id, key, fingerprint, status, headers, body)"
        """ SELECT id, user_id, id::text, '', 200, '{}', convert_to(format('{"id":"%s","title":"x"}', id), 'UTF8')"""
        " FROM deleted_tasks WHERE user_id = $1"
    )
    database.query(trashed, user.id, 2 * idempotency.PORTION + 1)
    database.query(answers, user.id)
    assert user.http.delete(f"/api/{user.id}/trash").status_code == 204
    left = "SELECT count(*) FROM idempotency_keys WHERE user_id = $1 AND body IS NOT NULL"
    assert database.value(left, user.id) == 0


def test_what_is_deleted_again_while_its_answers_are_forgotten_is_erased_with_the_new_ones(
    database: Database, user: User
) -> None:
    task = user.create()
    answer = (
        "INSERT INTO idempotency_keys (id, user_id, key, fingerprint, status, headers, body)"
        """ VALUES (gen_random_uuid(), $1, $2, '', 200, '{}', convert_to('{"id":"' || $3 || '"}', 'UTF8'))"""
    )
    delete(user, task)
    for key in ("b", "c"):
        database.query(answer, user.id, key, task["id"])
    kept = "SELECT key FROM idempotency_keys WHERE user_id = $1 AND body IS NOT NULL"
    with ThreadPoolExecutor(1) as thread:
        with held(database.url, f"BEGIN; {kept.replace('$1', repr(user.id))} FOR UPDATE"):
            erased = thread.submit(user.http.delete, f"/api/{user.id}/trash/{task['id']}")
            time.sleep(0.5)  # it waits for the answers: the one below comes before the place where it is
            assert user.http.post(f"/api/{user.id}/trash/{task['id']}/restore").status_code == 200
            database.query(answer, user.id, "a", task["id"])
            delete(user, task)
        assert erased.result().status_code == 204
    assert database.query(kept, user.id) == []
    assert trash_of(user) == []


@pytest.mark.parametrize("condition", [{"If-Match": '"stale"'}, {"If-None-Match": "*"}])
def test_nothing_is_erased_in_a_state_that_the_request_excludes(user: User, condition: dict[str, str]) -> None:
    task = user.create()
    tag = user.http.get(user.path(task)).headers["ETag"]
    delete(user, task)
    trash_tag = user.http.get(f"/api/{user.id}/trash").headers["ETag"]
    for path, current in ((f"/api/{user.id}/trash", trash_tag), (f"/api/{user.id}/trash/{task['id']}", tag)):
        answer = user.http.delete(path, headers=condition)
        assert_problem(answer, 412, "precondition_failed")
        assert answer.headers["ETag"] == current
    assert [found["id"] for found in trash_of(user)] == [task["id"]]


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_in_the_state_that_was_seen_is_erased(user: User, *, whole: bool) -> None:
    task = user.create()
    tag = user.http.get(user.path(task)).headers["ETag"]
    delete(user, task)
    if whole:
        tag = user.http.get(f"/api/{user.id}/trash").headers["ETag"]
    path = f"/api/{user.id}/trash" if whole else f"/api/{user.id}/trash/{task['id']}"
    assert user.http.delete(path, headers={"If-Match": tag}).status_code == 204
    assert trash_of(user) == []


def test_conditions_do_not_count_for_what_is_not_in_the_trash(user: User) -> None:
    path = f"/api/{user.id}/trash/{user.create()['id']}"
    assert_problem(user.http.delete(path, headers={"If-Match": '"stale"'}), 404, "task_not_found")


def test_what_a_batch_is_restoring_is_erased_when_it_stays_in_the_trash(database: Database, user: User) -> None:
    """Answered while the other transaction was under way, a 204 would speak of content that is still there."""
    task = user.create()
    delete(user, task)
    restoring = (
        f"BEGIN; SELECT FROM users WHERE id = '{user.id}' FOR NO KEY UPDATE;"
        f" DELETE FROM deleted_tasks WHERE id = '{task['id']}'"
    )
    with ThreadPoolExecutor(1) as thread:
        with held(database.url, restoring):  # and rolled back at the end
            answer = thread.submit(user.http.delete, f"/api/{user.id}/trash")
            time.sleep(0.5)
        assert answer.result().status_code == 204
    assert trash_of(user) == []
    assert database.value("SELECT title FROM deleted_tasks WHERE id = $1", task["id"]) is None


def test_a_full_trash_is_erased_in_portions(database: Database, user: User) -> None:
    database.query(
        "INSERT INTO deleted_tasks (id, user_id, deleted_at, title) SELECT gen_random_uuid(), $1, now(), n::text"
        " FROM generate_series(1, $2) n",
        user.id,
        3 * trash.ERASE_PORTION + 1,
    )
    assert user.http.delete(f"/api/{user.id}/trash").status_code == 204
    assert database.value("SELECT count(*) FROM deleted_tasks WHERE user_id = $1 AND title IS NOT NULL", user.id) == 0


def test_the_trash_forgets(database: Database, start_service: Callable[..., Service], user: User) -> None:
    task = user.create()
    delete(user, task)
    short = start_service(TRASH_RETENTION_DAYS="0.000001")
    with httpx.Client(base_url=short.url, headers=user.http.headers, timeout=10, verify=False) as http:
        assert http.get(f"/api/{user.id}/trash").json() == []
        assert_problem(http.post(f"/api/{user.id}/trash/{task['id']}/restore"), 404, "task_not_found")
    assert len(trash_of(user)) == 1


def test_the_purge_forgets_what_no_token_can_ask_for(database: Database, user: User) -> None:

    for age in ("40 days", "30 days 30 minutes", "1 day"):
        database.query(
            f"INSERT INTO deleted_tasks (id, user_id, deleted_at, title)"
            f" VALUES (gen_random_uuid(), $1, now() - interval '{age}', $2)",
            user.id,
            age,
        )
    database.query(trash.PURGE.sql, 30 * 24 * 3600.0)
    kept = database.query("SELECT title FROM deleted_tasks WHERE user_id = $1 ORDER BY title", user.id)
    assert [row["title"] for row in kept] == ["1 day", "30 days 30 minutes"]


@pytest.mark.parametrize("path", ["trash/not-a-uuid/restore", "trash/not-a-uuid"])
def test_a_malformed_id_in_the_trash_is_422(user: User, path: str) -> None:
    method = "POST" if path.endswith("restore") else "DELETE"
    assert_problem(user.http.request(method, f"/api/{user.id}/{path}"), 422, "validation_error")


@pytest.mark.parametrize("release", ["this", "the previous"])
def test_an_id_that_sql_gives_again_can_be_deleted_again(database: Database, user: User, release: str) -> None:
    task = user.create("first")
    delete(user, task)
    again = "INSERT INTO tasks (id, user_id, title) VALUES ($1, $2, 'second')"
    database.query(again, task["id"], user.id)
    if release == "this":
        delete(user, task)
    else:
        old = replace(database, url=f"{database.url}&application_name=tasks-service")
        old.query("DELETE FROM tasks WHERE id = $1", task["id"])
    [found] = trash_of(user)
    assert (found["id"], found["title"]) == (task["id"], "second")
    assert user.list() == []
    assert database.value("SELECT tasks_count FROM users WHERE id = $1", user.id) == 0
    database.query(again, task["id"], user.id)
    assert_problem(user.http.post(f"/api/{user.id}/trash/{task['id']}/restore"), 404, "task_not_found")
    assert [task["title"] for task in user.list()] == ["second"]


def test_a_gone_account_has_no_trash(user: User) -> None:
    delete(user, user.create())
    assert user.http.delete("/api/auth/me").status_code == 204
    assert_problem(user.http.get(f"/api/{user.id}/trash"), 401, "unauthorized")
    assert_problem(user.http.delete(f"/api/{user.id}/trash"), 401, "unauthorized")
    assert_problem(user.http.delete(f"/api/{user.id}/trash/{user.id}"), 404, "task_not_found")


def test_restoring_can_be_repeated_and_conditional(user: User) -> None:
    task = user.create()
    tag = user.http.get(user.path(task)).headers["ETag"]
    delete(user, task)
    path = f"/api/{user.id}/trash/{task['id']}/restore"
    assert user.http.post(path, headers={"If-Match": '"1"'}).status_code == 412
    key = {"Idempotency-Key": f"restore-{task['id']}", "If-Match": tag}
    first, second = (user.http.post(path, headers=key) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.content == second.content


def test_a_large_trash_is_emptied_whole(database: Database, user: User) -> None:
    """In more than one portion."""
    database.query(
        "INSERT INTO deleted_tasks"
        " (id, user_id, deleted_at, title, completed, created_at, updated_at, priority, labels)"
        " SELECT gen_random_uuid(), $1, now() - (n / 2) * interval '1 second', 'old', false, now(), now(), 0, '{}'"
        " FROM generate_series(1, 2500) n",
        user.id,
    )
    assert len(user.http.get(f"/api/{user.id}/trash").json()) == 100
    assert user.http.delete(f"/api/{user.id}/trash").status_code == 204
    assert user.http.get(f"/api/{user.id}/trash").json() == []
    left = "SELECT count(*) FROM deleted_tasks WHERE user_id = $1 AND title IS {} NULL"
    assert database.value(left.format("NOT"), user.id) == 0
    assert database.value(left.format(""), user.id) == 2500
