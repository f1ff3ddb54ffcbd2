"""PUT, PATCH, toggle and DELETE."""

from typing import Any

import pytest

from tests.support.problems import assert_problem, faults
from tests.support.users import User

MERGE = {"Content-Type": "application/merge-patch+json"}


def without_time(task: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in task.items() if k not in {"updated_at", "completed_at"}}


def test_put_without_a_description_leaves_it(user: User) -> None:
    task = user.create("a", description="keep me")
    changed = user.http.put(user.path(task), json={"title": "b"}).json()
    assert without_time(changed) == without_time({**task, "title": "b"})


def test_put_with_null_clears_the_description(user: User) -> None:
    task = user.create("a", description="drop me")
    assert user.http.put(user.path(task), json={"title": "a", "description": None}).json()["description"] is None


def test_put_leaves_completed_alone(user: User) -> None:
    task = user.create()
    user.http.patch(f"{user.path(task)}/complete")
    assert user.http.put(user.path(task), json={"title": "b", "description": "c"}).json()["completed"] is True


@pytest.mark.parametrize(
    "patch",
    [
        {},
        {"title": "b"},
        {"description": "c"},
        {"description": None},
        {"completed": True},
        {"completed": False},
        {"title": " b ", "description": "c", "completed": True},
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
def test_patch_changes_what_is_given_and_nothing_else(user: User, patch: dict[str, Any], media_type: str) -> None:
    task = user.create("a", description="before")
    response = user.http.patch(user.path(task), json=patch, headers={"Content-Type": media_type})
    assert response.status_code == 200
    expected = {**task, **patch}
    expected["title"] = expected["title"].strip()
    assert without_time(response.json()) == without_time(expected)
    assert user.http.get(user.path(task)).json() == response.json()


@pytest.mark.parametrize(
    ("patch", "where", "why"),
    [
        ({"title": None}, "/title", "string_type"),
        ({"title": ""}, "/title", "too_short"),
        ({"title": "x" * 501}, "/title", "too_long"),
        ({"title": "\0"}, "/title", "nul"),
        ({"description": "\0"}, "/description", "nul"),
        ({"completed": None}, "/completed", "bool_type"),
        ({"completed": "true"}, "/completed", "bool_type"),
        ({"completed": 1}, "/completed", "bool_type"),
        ({"user_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "/user_id", "unknown_field"),
        ({"id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "/id", "unknown_field"),
        ({"updated_at": "2020-01-01T00:00:00Z"}, "/updated_at", "unknown_field"),
        ([{"op": "replace", "path": "/title", "value": "x"}], "", "model_type"),
    ],
)
def test_an_invalid_patch_leaves_the_task_alone(user: User, patch: object, where: str, why: str) -> None:
    task = user.create()
    assert faults(user.http.patch(user.path(task), json=patch, headers=MERGE)) == {(where, why)}
    assert user.http.get(user.path(task)).json() == task


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x", "completed": True}, {"description": "x"}])
def test_an_invalid_put_leaves_the_task_alone(user: User, body: dict[str, Any]) -> None:
    task = user.create()
    assert faults(user.http.put(user.path(task), json=body))
    assert user.http.get(user.path(task)).json() == task


def test_toggling_twice_is_where_it_began(user: User) -> None:
    task = user.create("a", description="d")
    path = f"{user.path(task)}/complete"
    once, twice = user.http.patch(path).json(), user.http.patch(path).json()
    assert without_time(once) == without_time({**task, "completed": True})
    assert without_time(twice) == without_time(task)


def test_every_change_moves_updated_at_and_the_tag(user: User) -> None:
    task = user.create()
    path = user.path(task)
    states = [user.http.get(path)]
    for _ in range(20):
        states.append(user.http.patch(f"{path}/complete"))
        states.append(user.http.patch(path, json={}))
        states.append(user.http.put(path, json={"title": task["title"]}))
    times = [state.json()["updated_at"] for state in states]
    assert times == sorted(set(times))
    assert len({state.headers["etag"] for state in states}) == len(states)
    assert {state.json()["created_at"] for state in states} == {task["created_at"]}


def test_a_second_delete_is_a_404(user: User) -> None:
    task = user.create()
    first = user.http.delete(user.path(task))
    assert (first.status_code, first.content) == (204, b"")
    assert "content-type" not in first.headers
    assert_problem(user.http.delete(user.path(task)), 404, "task_not_found")
    assert_problem(user.http.get(user.path(task)), 404, "task_not_found")
    assert user.list() == []


def test_deleting_one_leaves_the_others(user: User) -> None:
    kept, dropped = user.create("keep"), user.create("drop")
    user.http.delete(user.path(dropped))
    assert user.list() == [kept]
