"""Several changes in one transaction."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.tasks.batch import OPERATIONS_MAX
from tests.support.database import Database
from tests.support.problems import assert_problem
from tests.support.users import User


def run(user: User, *operations: dict[str, Any], **headers: str) -> httpx.Response:
    return user.http.post(f"{user.tasks}/batch", json={"operations": operations}, headers=headers)


def test_a_body_full_of_mistakes_has_a_short_answer(user: User) -> None:
    """To name each would hold up everybody else, and send ten times what came."""
    fields = ",".join(f'"{number:x}":0' for number in range(4000))
    body = f'{{"operations":[{{"op":"create","task":{{"title":"x",{fields}}}}}]}}'
    answer = user.http.post(f"{user.tasks}/batch", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 422, "validation_error")
    [mistake] = answer.json()["errors"]
    assert (mistake["pointer"], mistake["code"]) == ("", "too_many_mistakes")
    assert len(answer.content) < 1000


@pytest.mark.parametrize("part", ["[]", "{}", "1", '""', '"\\\\"', "NaN"])
def test_a_body_of_too_many_values_is_refused_before_it_is_taken_apart(user: User, part: str) -> None:
    body = f'{{"operations":[{",".join([part] * (1_000_000 // (len(part) + 1)))}]}}'
    answer = user.http.post(f"{user.tasks}/batch", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, 422, "validation_error")
    assert [mistake["code"] for mistake in answer.json()["errors"]] == ["too_many_values"]


@pytest.mark.parametrize("text", ["[", '\\"', '\\\\"', ","])
def test_a_string_without_an_end_is_no_json(user: User, text: str) -> None:
    """A count of its parts that began anew at each of its quotation marks would take minutes."""
    body = '{"operations":["' + text * (1_000_000 // len(text)) + "\\"
    answer = user.http.post(f"{user.tasks}/batch", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == (422 if text == '\\\\"' else 400)  # these are very many strings, each with an end


def test_the_fullest_batch_is_none_of_too_many_values(user: User) -> None:
    texts = {"title": '"[{,\\' * 100, "description": ',"' * 1000, "priority": "high", "due_on": None}
    task = {**texts, "due_at": "2026-12-01T12:00:00Z", "labels": [f'",{number}' for number in range(20)]}
    answer = run(user, *[{"op": "create", "task": task}] * 100)
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][99]["task"]["title"] == texts["title"]


def test_each_operation_is_told_its_mistakes(user: User) -> None:
    answer = run(user, *[{"op": "create", "task": {"name": "x", "done": True}}] * OPERATIONS_MAX)
    assert_problem(answer, 422, "validation_error")
    assert len(answer.json()["errors"]) == 3 * OPERATIONS_MAX


def test_operations_run_in_their_order(user: User) -> None:
    old, gone = user.create("old"), user.create("gone")
    user.http.delete(user.path(gone))
    response = run(
        user,
        {"op": "create", "task": {"title": "new", "description": "x"}},
        {"op": "patch", "id": old["id"], "task": {"title": "patched"}},
        {"op": "complete", "id": old["id"]},
        {"op": "restore", "id": gone["id"]},
        {"op": "reopen", "id": old["id"]},
        {"op": "delete", "id": old["id"]},
    )
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [result["status"] for result in results] == [201, 200, 200, 200, 200, 204]
    assert (results[1]["task"]["title"], results[2]["task"]["completed"]) == ("patched", True)
    assert results[4]["task"]["completed"] is False
    assert set(results[5]) == {"status"}
    assert user.list() == [results[0]["task"], results[3]["task"]]
    assert results[0]["etag"] == user.http.get(user.path(results[0]["task"])).headers["ETag"]


@pytest.mark.parametrize(
    ("failing", "status", "code"),
    [
        ({"op": "delete", "id": "0190a2b8-0000-7000-8000-000000000000"}, 404, "task_not_found"),
        ({"op": "restore", "id": "0190a2b8-0000-7000-8000-000000000000"}, 404, "task_not_found"),
        ({"op": "complete", "id": "ID", "if_match": '"1"'}, 412, "precondition_failed"),
    ],
)
def test_the_first_failure_decides_and_nothing_remains(
    database: Database, user: User, failing: dict[str, Any], status: int, code: str
) -> None:
    task = user.create("as it was")
    failing = {**failing, "id": failing["id"].replace("ID", task["id"])}
    before = database.query("SELECT tasks_clock, tasks_count FROM users WHERE id = $1", user.id)
    patch = {"op": "patch", "id": task["id"], "task": {"title": "changed"}}
    response = run(user, {"op": "create", "task": {"title": "new"}}, patch, failing, patch)
    assert_problem(response, status, code)
    assert response.json()["errors"][0]["pointer"] == "/operations/2"
    assert user.list() == [task]
    assert database.query("SELECT tasks_clock, tasks_count FROM users WHERE id = $1", user.id) == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"operations": []}, "/operations"),
        ({"operations": [{"op": "create", "task": {"title": "x"}}] * 101}, "/operations"),
        ({"operations": [{"op": "explode"}]}, "/operations/0"),
        ({"operations": [{"op": "create", "task": {"title": " "}}]}, "/operations/0/task/title"),
        ({"operations": [{"op": "create", "task": {"title": "x"}, "id": "y"}]}, "/operations/0/id"),
        ({"operations": [{"op": "delete"}]}, "/operations/0/id"),
        ({"operations": [{"op": "delete", "id": "x"}]}, "/operations/0/id"),
        ({"operations": [{"op": "patch", "id": "x", "task": {"completed": 1}}]}, "/operations/0/task/completed"),
        ({"operations": [{"op": "complete", "id": "{1}"}]}, "/operations/0/id"),
        ({"operations": {"op": "create"}}, "/operations"),
        ({}, "/operations"),
        ({"operations": [{"op": "create", "task": {"title": "x"}}], "more": 1}, "/more"),
    ],
)
def test_a_malformed_batch_is_refused_with_its_place(user: User, body: Any, pointer: str) -> None:
    response = user.http.post(f"{user.tasks}/batch", json=body)
    assert_problem(response, 422, "validation_error")
    assert pointer in [error["pointer"] for error in response.json()["errors"]]
    assert user.list() == []


def test_another_users_task_in_a_batch_is_not_there(user: User, other_user: User) -> None:
    foreign = other_user.create()
    response = run(user, {"op": "create", "task": {"title": "x"}}, {"op": "complete", "id": foreign["id"]})
    assert_problem(response, 404, "task_not_found")
    assert user.list() == []
    assert other_user.list() == [foreign]


def test_a_repeated_batch_runs_once(user: User) -> None:
    key = {"Idempotency-Key": f"batch-{user.id}"}
    first, second = (run(user, {"op": "create", "task": {"title": "once"}}, **key) for _ in range(2))
    assert first.content == second.content
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(user.list()) == 1


def test_batches_in_opposite_order_do_not_deadlock(user: User) -> None:
    tasks = [user.create(str(number)) for number in range(20)]
    there = [{"op": "patch", "id": task["id"], "task": {"title": "there"}} for task in tasks]
    back = [{"op": "complete", "id": task["id"]} for task in reversed(tasks)]
    with ThreadPoolExecutor(4) as threads:
        for answers in [threads.map(lambda ops: run(user, *ops), (there, back, there, back)) for _ in range(5)]:
            assert [answer.status_code for answer in answers] == [200] * 4
    assert {(task["title"], task["completed"]) for task in user.list()} == {("there", True)}


def test_a_full_batch_of_large_tasks_fits(user: User) -> None:
    operations = [{"op": "create", "task": {"title": "x", "description": "y" * 10_000}} for _ in range(100)]
    body = json.dumps({"operations": operations})
    assert len(body) < 1024 * 1024
    response = user.http.post(f"{user.tasks}/batch", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == 100
