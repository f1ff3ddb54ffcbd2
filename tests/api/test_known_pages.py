"""A page that is remembered is what the database has: whatever changes it, on whichever process, by whatever means."""

import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.database import Database, connected
from tests.support.server import Service
from tests.support.users import User

QUERIES: list[dict[str, Any]] = [
    {},
    {"limit": 2},
    {"sort": "title"},
    {"sort": "-due", "limit": 3},
    {"completed": "true"},
    {"completed": "false", "limit": 50},
    {"q": "bread"},
    {"label": "shop"},
    {"priority": "high"},
]


def pages(http: httpx.Client, user: User) -> list[tuple[Any, str | None, str, str]]:
    """Every query twice: the second answer comes from memory if nothing was changed between."""
    found = []
    for query in QUERIES:
        first, second = (http.get(user.tasks, params=query, headers={"Prefer": "count=exact"}) for _ in range(2))
        assert first.status_code == second.status_code == 200
        shown = [
            (r.json(), r.headers.get("Link"), r.headers["ETag"], r.headers["X-Total-Count"]) for r in (first, second)
        ]
        assert shown[0] == shown[1]
        found.append(shown[0])
    return found


def afresh(service: Callable[..., Service], user: User) -> list[tuple[Any, str | None, str, str]]:
    """As a process that has never seen the user before shows them."""
    started = service()
    with httpx.Client(base_url=started.url, headers=user.http.headers, timeout=10, verify=False) as http:
        return pages(http, user)


def changes(user: User, database: Database) -> dict[str, Callable[[], object]]:
    task, other = user.create("buy milk"), user.create("sell bread")
    path, trash = user.path(task), f"/api/{user.id}/trash/{task['id']}"
    mine = "WHERE user_id = $1"
    return {
        "create": lambda: user.create("buy bread"),
        "replace": lambda: user.http.put(path, json={"title": "buy bread", "labels": ["shop"]}).raise_for_status(),
        "patch": lambda: user.http.patch(path, json={"priority": "high"}).raise_for_status(),
        "toggle": lambda: user.http.patch(f"{path}/complete").raise_for_status(),
        "delete": lambda: user.http.delete(path).raise_for_status(),
        "restore": lambda: user.http.post(f"{trash}/restore").raise_for_status(),
        "batch": lambda: user.http.post(
            f"{user.tasks}/batch", json={"operations": [{"op": "delete", "id": other["id"]}]}
        ).raise_for_status(),
        "SQL: insert": lambda: database.query(
            "INSERT INTO tasks (id, user_id, title) VALUES (gen_random_uuid(), $1, 'bread by SQL')", user.id
        ),
        "SQL: update": lambda: database.query(f"UPDATE tasks SET title = title || ' bread' {mine}", user.id),
        "SQL: update again": lambda: database.query(f"UPDATE tasks SET completed = NOT completed {mine}", user.id),
        "SQL: delete": lambda: database.query(f"DELETE FROM tasks {mine} AND title LIKE '%SQL%'", user.id),
    }


def test_every_change_is_seen_at_once(start_service: Callable[..., Service], database: Database, user: User) -> None:
    other = start_service()  # another process, which remembers pages of its own
    with httpx.Client(base_url=other.url, headers=user.http.headers, timeout=10, verify=False) as http:
        before = pages(user.http, user)
        for name, change in changes(user, database).items():
            change()
            after = pages(user.http, user)
            assert after == pages(http, user), name
            assert after[0] != before[0], name
            before = after
    assert before == afresh(start_service, user)


def test_an_account_that_is_gone_is_told_so(user: User) -> None:
    user.create()
    pages(user.http, user)
    assert user.http.delete("/api/auth/me").status_code == 204
    assert [user.http.get(user.tasks, params=query).status_code for query in QUERIES] == [401] * len(QUERIES)


def test_nobody_is_shown_another_users_page(user: User, other_user: User) -> None:
    user.create("mine")
    for query in QUERIES:
        mine, others = (u.http.get(u.tasks, params=query).json() for u in (user, other_user))
        assert others == []
        assert all(task["user_id"] == str(user.id) for task in mine)


def test_a_reader_among_writers_never_goes_back(user: User) -> None:
    """Each answer is a state at least as late as the one before it, and what was acknowledged is in it."""
    stop = threading.Event()
    done: list[int] = []

    def write() -> None:
        for number in range(60):
            user.create(f"{number:03}")
            done.append(number)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    with httpx.Client(base_url=user.http.base_url, headers=user.http.headers, timeout=10, verify=False) as http:
        while not stop.is_set():
            acknowledged = len(done)
            count = len(http.get(user.tasks).json())
            assert count >= max(seen, acknowledged)
            seen = count
    writer.join()
    assert len(user.http.get(user.tasks).json()) == 60


async def test_sql_that_has_changed_the_account_before_is_seen(database: Database, user: User) -> None:
    user.create("milk")
    before = pages(user.http, user)
    async with connected(database.url) as connection, connection.transaction():
        await connection.execute("UPDATE users SET name = 'Ada' WHERE id = $1", user.id)
        await connection.execute("UPDATE tasks SET title = 'bread' WHERE user_id = $1", user.id)
    after = pages(user.http, user)
    assert after[0][0][0]["title"] == "bread"
    assert after[0][2] != before[0][2], "the entity tag"


def test_what_sql_gives_to_somebody_else_is_theirs_alone(database: Database, user: User, other_user: User) -> None:
    """As when two accounts are merged."""
    task, _ = user.create("milk"), user.create("stays")
    for somebody in (user, other_user):
        pages(somebody.http, somebody)
    database.query("UPDATE tasks SET user_id = $1 WHERE id = $2", other_user.id, task["id"])
    shown = [pages(somebody.http, somebody)[0] for somebody in (user, other_user)]
    assert [([found["title"] for found in page[0]], page[3]) for page in shown] == [(["stays"], "1"), (["milk"], "1")]


async def test_a_large_update_by_sql_advances_the_clock_once(database: Database, user: User) -> None:
    """A row that is updated once for each task of one transaction would get slower with every one of them."""
    count = 50
    tasks = "SELECT gen_random_uuid(), $1, n::text FROM generate_series(1, $2) n"
    updates = "SELECT pg_stat_get_xact_tuples_updated('users'::regclass)"
    async with connected(database.url) as connection:
        await connection.execute(f"INSERT INTO tasks (id, user_id, title) {tasks}", user.id, count)
        async with connection.transaction():
            before = await connection.fetchval(updates)
            changed = await connection.execute("UPDATE tasks SET description = 'x' WHERE user_id = $1", user.id)
            after = await connection.fetchval(updates)
    assert (changed, after - before) == (f"UPDATE {count}", 1)
