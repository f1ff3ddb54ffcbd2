"""What has changed since a token: nothing is missed, nothing comes twice, whatever happens in between."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import httpx
import pytest

from tests.support.database import Database
from tests.support.drill import eventually
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import User


class Follower:
    """A client that keeps its copy of a user's tasks by following their changes."""

    def __init__(self, http: httpx.Client, path: str, limit: int = 100) -> None:
        self._http = http
        self._path = f"{path}/changes"
        self._limit = limit
        self.token: str | None = None
        self.tasks: dict[str, dict[str, Any]] = {}

    def page(self) -> dict[str, Any]:
        asked: dict[str, str | int] = {"limit": self._limit, **({"since": self.token} if self.token else {})}
        response = self._http.get(self._path, params=asked)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def catch_up(self) -> list[dict[str, Any]]:
        """One pass: the changes in their order."""
        seen = []
        while True:
            page = self.page()
            seen += page["changes"]
            self.token = page["next"]
            if not page["more"]:
                break
        for change in seen:
            if change["type"] == "task":
                self.tasks[change["task"]["id"]] = change["task"]
            else:
                self.tasks.pop(change["id"], None)
        return seen


def listed(user: User) -> dict[str, dict[str, Any]]:
    response = user.http.get(user.tasks, params={"limit": 500})
    found: dict[str, dict[str, Any]] = {}
    while True:
        found |= {task["id"]: task for task in response.json()}
        if "next" not in response.links:
            return found
        response = user.http.get(response.links["next"]["url"])


def batch(user: User, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    response = user.http.post(f"{user.tasks}/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    return list(response.json()["results"])


def test_the_first_sync_is_all_live_tasks_in_the_order_of_the_clock(user: User) -> None:
    tasks = [user.create(str(number)) for number in range(7)]
    assert user.http.delete(user.path(tasks[3])).status_code == 204
    moved = user.http.patch(f"{user.path(tasks[0])}/complete").json()
    follower = Follower(user.http, user.tasks, limit=2)
    seen = follower.catch_up()
    assert [change["task"] for change in seen] == [*tasks[1:3], *tasks[4:], moved]
    assert follower.catch_up() == []


def test_every_kind_of_change_is_told_once_in_its_latest_state(user: User) -> None:
    stays, goes, returns = (user.create(name) for name in ("stays", "goes", "returns"))
    follower = Follower(user.http, user.tasks)
    follower.catch_up()
    for number in range(3):
        user.http.patch(user.path(stays), json={"title": f"version {number}"})
    new = user.create("new")
    user.http.delete(user.path(goes))
    user.http.delete(user.path(returns))
    user.http.post(f"/api/{user.id}/trash/{returns['id']}/restore")
    token = follower.token
    seen = follower.catch_up()
    assert [change["type"] for change in seen] == ["task", "task", "deleted", "task"]
    assert seen[0]["task"]["title"] == "version 2"
    assert seen[1]["task"] == new
    assert set(seen[2]) == {"type", "id", "deleted_at"}
    assert (seen[2]["id"], seen[3]["task"]["id"]) == (goes["id"], returns["id"])
    assert follower.tasks == listed(user)
    again = user.http.get(f"{user.tasks}/changes", params={"since": token}).json()
    assert again["changes"] == seen, "repeating a token repeats its answer"


@pytest.mark.parametrize("limit", [2, 100])
def test_repeating_a_token_repeats_its_answer_to_the_byte(user: User, limit: int) -> None:
    first = user.http.get(f"{user.tasks}/changes").json()["next"]
    for number in range(3):
        user.create(str(number))
    pages: tuple[dict[str, str], ...] = ({}, {"since": first})
    for page in pages:

        def repeats(page: dict[str, str] = page) -> bool:
            asked = {"limit": str(limit), **page}
            return len({user.http.get(f"{user.tasks}/changes", params=asked).content for _ in range(3)}) == 1

        eventually(repeats)  # unless the tokens grow a step older in between


def test_what_is_erased_stays_a_deletion(user: User) -> None:
    task = user.create()
    follower = Follower(user.http, user.tasks)
    follower.catch_up()
    user.http.delete(user.path(task))
    user.http.delete(f"/api/{user.id}/trash")
    assert [change["id"] for change in follower.catch_up()] == [task["id"]]


def test_what_is_deleted_during_the_first_sync_is_told(user: User) -> None:
    tasks = [user.create(str(number)) for number in range(4)]
    user.http.delete(user.path(tasks[3]))
    follower = Follower(user.http, user.tasks, limit=1)
    page = follower.page()
    follower.token = page["next"]
    user.http.delete(user.path(tasks[0]))
    seen = follower.catch_up()
    assert [change.get("id") for change in seen] == [None, None, tasks[0]["id"]]


def test_deletions_are_all_told_however_large_the_tasks_were(user: User) -> None:
    large = {"op": "create", "task": {"title": "large", "description": "\U0001f40d" * 10_000}}
    ids = [result["task"]["id"] for _ in range(5) for result in batch(user, [large] * 20)]
    follower = Follower(user.http, user.tasks)
    follower.catch_up()
    batch(user, [{"op": "delete", "id": id_} for id_ in ids])
    for limit in (7, 64, 500):
        other = Follower(user.http, user.tasks, limit=limit)
        other.token = follower.token
        assert [change["id"] for change in other.catch_up()] == ids


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 72, "", "\u00e9", "A" * 5000])
def test_a_token_that_is_none_is_refused(user: User, token: str) -> None:
    assert_problem(user.http.get(f"{user.tasks}/changes", params={"since": token}), 422, "validation_error")


def test_another_users_token_is_refused(user: User, other_user: User) -> None:
    token = other_user.http.get(f"{other_user.tasks}/changes").json()["next"]
    assert_problem(user.http.get(f"{user.tasks}/changes", params={"since": token}), 422, "validation_error")


def test_an_old_token_is_410_and_a_quiet_user_keeps_theirs(
    database: Database, start_service: Callable[..., Service], user: User
) -> None:
    user.create()
    database.query("UPDATE users SET tasks_clock = tasks_clock - interval '90 days' WHERE id = $1", user.id)
    token = user.http.get(f"{user.tasks}/changes").json()["next"]
    assert user.http.get(f"{user.tasks}/changes", params={"since": token}).status_code == 200
    short = start_service(TRASH_RETENTION_DAYS="0.000001")
    with httpx.Client(base_url=short.url, headers=user.http.headers, timeout=10, verify=False) as http:
        expired = http.get(f"{user.tasks}/changes", params={"since": token})
    assert_problem(expired, 410, "sync_token_expired")


def test_a_gone_account_has_no_changes(user: User) -> None:
    token = user.http.get(f"{user.tasks}/changes").json()["next"]
    assert user.http.delete("/api/auth/me").status_code == 204
    for parameters in ({}, {"since": token}):
        assert_problem(user.http.get(f"{user.tasks}/changes", params=parameters), 401, "unauthorized")


def test_writes_of_the_previous_release_are_followed_too(database: Database, user: User) -> None:
    """Its statements, as release 0.1.0 has them, set no clock: triggers do it for them."""
    old = replace(database, url=f"{database.url}&application_name=tasks-service")
    follower = Follower(user.http, user.tasks)
    kept = user.create("kept")
    follower.catch_up()
    before = database.value("SELECT tasks_count FROM users WHERE id = $1", user.id)
    new = "INSERT INTO tasks (id, user_id, title) VALUES (gen_random_uuid(), $1, $2) RETURNING id::text, updated_at"
    first, second = old.query(new, user.id, "first")[0], old.query(new, user.id, "second")[0]
    toggled = old.query(
        "UPDATE tasks SET completed = NOT completed, updated_at ="
        " GREATEST(clock_timestamp(), updated_at + interval '1 microsecond') WHERE id = $1 RETURNING updated_at",
        kept["id"],
    )[0]
    gone = "DELETE FROM tasks WHERE id = $1 AND user_id = $2 RETURNING id::text"
    assert old.value(gone, first["id"], user.id) == first["id"]
    assert first["updated_at"] < second["updated_at"] < toggled["updated_at"]
    seen = follower.catch_up()
    assert [change["type"] for change in seen] == ["task", "task", "deleted"]
    assert seen[1]["task"]["completed_at"] == seen[1]["task"]["updated_at"]
    assert follower.tasks == listed(user)
    assert database.value("SELECT tasks_count FROM users WHERE id = $1", user.id) == before + 1
    assert user.http.post(f"/api/{user.id}/trash/{first['id']}/restore").status_code == 200


def test_sql_beside_the_service_is_counted_and_noticed(database: Database, user: User) -> None:
    """And keeps its own times. A load of a hundred thousand is one update of the user's row."""
    load = (
        "INSERT INTO tasks (id, user_id, title, updated_at)"
        " SELECT gen_random_uuid(), $1, n::text, '2020-01-01'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, 100000) n"
    )
    before = user.http.get(user.tasks).headers["ETag"]
    database.query(load, user.id)
    counted = user.http.get(user.tasks, params={"limit": 1}, headers={"Prefer": "count=exact", "If-None-Match": before})
    assert (counted.status_code, counted.headers["X-Total-Count"]) == (200, "100000")
    assert user.list(sort="updated_at", limit=1)[0]["updated_at"] == "2020-01-01T00:00:01.000000Z"
    database.query("DELETE FROM tasks WHERE user_id = $1", user.id)
    counted = user.http.get(user.tasks, headers={"Prefer": "count=exact"})
    assert (counted.json(), counted.headers["X-Total-Count"]) == ([], "0")


def test_a_user_deleted_by_the_previous_release_leaves_nothing(database: Database, user: User) -> None:
    task = user.create()
    user.http.delete(user.path(user.create()))
    database.query("DELETE FROM users WHERE id = $1", user.id)
    assert database.value("SELECT count(*) FROM tasks WHERE id = $1", task["id"]) == 0
    assert database.value("SELECT count(*) FROM deleted_tasks WHERE user_id = $1", user.id) == 0


def write_at_random(url: str, user: User, seed: int) -> None:
    """Creations, changes, deletions, restorations, and batches that fail in the middle."""
    chance = random.Random(seed)
    mine: list[dict[str, Any]] = [user.create(f"of {seed}")]
    rolled_back = {"operations": [{"op": "create", "task": {"title": "never"}}, {"op": "delete", "id": user.id}]}
    with httpx.Client(base_url=url, headers=user.http.headers, timeout=10, verify=False) as http:
        for turn in range(40):
            task = chance.choice(mine)
            path = user.path(task)
            kinds: list[Callable[[], httpx.Response]] = [
                partial(http.patch, path, json={"title": f"{seed}.{turn}"}),
                partial(http.delete, path),
                partial(http.post, f"/api/{user.id}/trash/{task['id']}/restore"),
                partial(http.patch, f"{path}/complete"),
                partial(http.post, f"{user.tasks}/batch", json=rolled_back),
                partial(http.post, user.tasks, json={"title": f"{seed}.{turn}"}),
            ]
            answer = chance.choice(kinds)()
            assert answer.status_code < 500, answer.text
            if answer.status_code == 201:
                mine.append(answer.json())


def follow_until(over: Event, url: str, user: User, limit: int) -> tuple[Follower, list[dict[str, Any]]]:
    with httpx.Client(base_url=url, headers=user.http.headers, timeout=10, verify=False) as http:
        follower, seen = Follower(http, user.tasks, limit), []
        while not over.is_set():
            seen += follower.catch_up()
        seen += follower.catch_up()
        return follower, seen


def test_followers_of_eight_writers_end_with_the_lists_state(
    service: Service, start_service: Callable[..., Service], user: User
) -> None:
    """Readers on two processes, with large and with small pages."""
    over, urls = Event(), (service.url, start_service().url)
    with ThreadPoolExecutor(12) as threads:
        readers = [threads.submit(follow_until, over, url, user, limit) for url in urls for limit in (7, 100)]
        for writer in [threads.submit(write_at_random, service.url, user, seed) for seed in range(8)]:
            writer.result()
        over.set()
        for follower, seen in [reader.result() for reader in readers]:
            assert follower.tasks == listed(user)
            times = [c["task"]["updated_at"] if c["type"] == "task" else c["deleted_at"] for c in seen]
            assert times == sorted(set(times)), "in the order of the clock, and nothing twice"
