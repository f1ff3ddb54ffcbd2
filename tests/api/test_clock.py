"""The user's clock: every change gets a later time than the one before, in the order of the commits."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Barrier
from typing import Any

import httpx

from tests.support.database import Database
from tests.support.server import Service
from tests.support.users import User

ROUNDS = 25


def clock_of(database: Database, user: User) -> tuple[datetime, int]:
    row = database.query("SELECT tasks_clock, tasks_count FROM users WHERE id = $1", user.id)[0]
    return row["tasks_clock"], row["tasks_count"]


def at_once(*calls: Callable[[], httpx.Response]) -> list[int]:
    """The statuses of calls that start in the same moment."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], httpx.Response]) -> int:
        barrier.wait()
        return call().status_code

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def everything(user: User) -> dict[str, dict[str, Any]]:
    return {task["id"]: task for task in user.list(limit=500)}


def test_every_change_is_later_than_the_one_before(database: Database, user: User) -> None:
    first, second = user.create("one"), user.create("two")
    times = [first["updated_at"], second["updated_at"]]
    for task in (first, second, first):
        times.append(user.http.patch(f"{user.path(task)}/complete").json()["updated_at"])
        times.append(user.http.put(user.path(task), json={"title": "new"}).json()["updated_at"])
        times.append(user.http.patch(user.path(task), json={"description": "x"}).json()["updated_at"])
    assert times == sorted(set(times))
    assert clock_of(database, user)[0] == datetime.fromisoformat(times[-1])
    assert first["created_at"] == first["updated_at"]


def test_a_miss_leaves_the_clock_where_it_is(database: Database, user: User, other_user: User) -> None:
    task, foreign = user.create(), other_user.create()
    before = clock_of(database, user)
    stale = {"If-Match": '"123"'}
    missing = f"{user.tasks}/{foreign['id']}"
    assert user.http.put(user.path(task), json={"title": "x"}, headers=stale).status_code == 412
    assert user.http.delete(user.path(task), headers=stale).status_code == 412
    assert user.http.delete(missing).status_code == 404
    assert user.http.patch(f"{missing}/complete").status_code == 404
    assert user.http.patch(missing, json={"title": "x"}).status_code == 404
    assert user.http.post(f"/api/{user.id}/trash/{task['id']}/restore").status_code == 404
    assert user.http.delete(f"/api/{user.id}/trash/{task['id']}").status_code == 404
    assert clock_of(database, user) == before


def test_writers_at_the_same_moment_share_no_time(service: Service, database: Database, user: User) -> None:
    """Eight connections: times are unique, and their order is the order in which the clock went."""
    tasks = [user.create(str(number)) for number in range(4)]

    def work(number: int) -> list[str]:
        with httpx.Client(base_url=service.url, headers=user.http.headers, timeout=10, verify=False) as http:
            times = []
            for turn in range(ROUNDS):
                path = user.path(tasks[(number + turn) % len(tasks)])
                times.append(http.patch(f"{path}/complete").json()["updated_at"])
                times.append(http.post(user.tasks, json={"title": "x"}).json()["updated_at"])
            return times

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(work, range(8)))
    for times in found:
        assert times == sorted(times), "one client waits for each answer: its changes are in its order"
    together = list(itertools.chain.from_iterable(found))
    assert len(together) == len(set(together)) == 8 * 2 * ROUNDS
    clock, count = clock_of(database, user)
    assert clock == datetime.fromisoformat(max(together))
    assert count == 4 + 8 * ROUNDS == len(everything(user))


def test_the_number_of_tasks_survives_every_race(service: Service, database: Database, user: User) -> None:
    """Twice at once: deletions, restorations, both, and creations at the limit of nothing."""
    statuses = []
    for _ in range(ROUNDS):
        task = user.create()
        trash = f"/api/{user.id}/trash/{task['id']}"
        delete = partial(user.http.delete, user.path(task))
        restore = partial(user.http.post, f"{trash}/restore")
        toggle = partial(user.http.patch, f"{user.path(task)}/complete")
        assert sorted(at_once(delete, delete)) == [204, 404]
        assert sorted(at_once(restore, restore)) == [200, 404]
        statuses += [*at_once(delete, toggle), *at_once(delete, restore, delete, restore)]
        counted = clock_of(database, user)[1]
        assert counted == database.value("SELECT count(*) FROM tasks WHERE user_id = $1", user.id)
    assert set(statuses) <= {200, 204, 404}


def test_no_more_tasks_than_the_limit_at_once(
    database: Database, start_service: Callable[..., Service], user: User
) -> None:
    small = start_service(TASKS_PER_USER_MAX="3")
    with httpx.Client(base_url=small.url, headers=user.http.headers, timeout=10, verify=False) as http:
        create = partial(http.post, user.tasks, json={"title": "x"})
        assert sorted(at_once(*[create] * 8)) == [201] * 3 + [409] * 5
        problem = create()
        assert (problem.status_code, problem.json()["code"]) == (409, "too_many_tasks")
        first = http.get(user.tasks).json()[0]
        assert http.delete(f"{user.tasks}/{first['id']}").status_code == 204
        assert create().status_code == 201
        restored = http.post(f"/api/{user.id}/trash/{first['id']}/restore")
        assert (restored.status_code, restored.json()["code"]) == (409, "too_many_tasks")
        assert clock_of(database, user)[1] == 3


def test_completed_at_is_when_it_last_became_true(user: User) -> None:
    task = user.create()
    assert task["completed_at"] is None
    done = user.http.patch(f"{user.path(task)}/complete").json()
    assert done["completed_at"] == done["updated_at"]
    again = user.http.patch(user.path(task), json={"completed": True}).json()
    assert (again["completed_at"], again["updated_at"] > done["updated_at"]) == (done["completed_at"], True)
    renamed = user.http.put(user.path(task), json={"title": "renamed"}).json()
    assert renamed["completed_at"] == done["completed_at"]
    assert user.http.patch(user.path(task), json={"completed": False}).json()["completed_at"] is None
    assert user.http.patch(f"{user.path(task)}/complete").json()["completed_at"] > done["completed_at"]


def test_a_name_of_ones_own_for_the_connections_changes_nothing(
    database: Database, start_service: Callable[..., Service], user: User
) -> None:
    """`application_name` in DATABASE_URL is not what tells this release's writes from SQL beside the service."""
    named = start_service(database_url=f"{database.url}&application_name=billing")
    with httpx.Client(base_url=named.url, headers=user.http.headers, timeout=10, verify=False) as http:
        tasks = [http.post(user.tasks, json={"title": "x"}).json() for _ in range(3)]
        changed = http.patch(f"{user.tasks}/{tasks[1]['id']}/complete").json()
        assert clock_of(database, user) == (datetime.fromisoformat(changed["updated_at"]), 3)
        assert http.delete(f"{user.tasks}/{tasks[0]['id']}").status_code == 204
        [deleted] = http.get(f"/api/{user.id}/trash").json()
        assert clock_of(database, user) == (datetime.fromisoformat(deleted["deleted_at"]), 2)
