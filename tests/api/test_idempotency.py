"""`Idempotency-Key`: one effect and one answer, however often and wherever a write is repeated."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.identifiers import uuid7
from service.rest.idempotency import PORTION_BYTES, PURGE, PURGE_ACCOUNT, forgetting
from tests.support.database import Database, held
from tests.support.drill import eventually
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import User, sign_up


def keyed(key: str | None = None, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid4()), **headers}


def same(first: httpx.Response, again: httpx.Response) -> None:
    assert again.status_code == first.status_code
    assert again.content == first.content
    for name in ("etag", "location", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


def test_a_repeated_create_gets_the_first_answer_and_makes_no_second_task(user: User) -> None:
    headers = keyed()
    first = user.http.post(user.tasks, json={"title": "once"}, headers=headers)
    assert first.status_code == 201
    same(first, user.http.post(user.tasks, json={"title": "once"}, headers=headers))
    assert len(user.list()) == 1


def test_a_repeated_toggle_flips_once(user: User) -> None:
    path, headers = f"{user.path(user.create())}/complete", keyed()
    first = user.http.patch(path, headers=headers)
    same(first, user.http.patch(path, headers=headers))
    assert [task["completed"] for task in user.list()] == [True]


def test_a_repeated_patch_is_replayed_even_after_the_task_has_changed(user: User) -> None:
    path, headers = user.path(user.create()), keyed()
    first = user.http.patch(path, json={"title": "first"}, headers=headers)
    user.http.patch(path, json={"title": "second"})
    same(first, user.http.patch(path, json={"title": "first"}, headers=headers))
    assert user.http.get(path).json()["title"] == "second"


def test_the_same_key_with_another_request_is_refused(user: User) -> None:
    headers = keyed()
    user.http.post(user.tasks, json={"title": "one"}, headers=headers)
    other = user.http.post(user.tasks, json={"title": "two"}, headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")
    assert [task["title"] for task in user.list()] == ["one"]


def test_a_key_belongs_to_its_user(user: User, other_user: User) -> None:
    headers = keyed()
    answers = [who.http.post(who.tasks, json={"title": "mine"}, headers=headers) for who in (user, other_user)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\there"])
def test_a_malformed_key_is_a_422_and_nothing_is_written(user: User, key: str) -> None:
    answer = user.http.post(user.tasks, json={"title": "no"}, headers={"Idempotency-Key": key})
    assert_problem(answer, 422, "validation_error")
    assert user.list() == []


def test_a_failure_is_not_kept(user: User) -> None:
    headers = keyed()
    path = user.path(user.create())
    stale = user.http.patch(path, json={"title": "x"}, headers={**headers, "If-Match": '"0"'})
    assert_problem(stale, 412, "precondition_failed")
    assert user.http.patch(path, json={"title": "x"}, headers=headers).status_code == 200


def test_a_key_is_forgotten_after_24_hours(user: User, database: Database) -> None:
    headers = keyed()
    first = user.http.post(user.tasks, json={"title": "old"}, headers=headers)
    database.query("UPDATE idempotency_keys SET created_at = created_at - interval '24 hours 1 second'")
    again = user.http.post(user.tasks, json={"title": "new"}, headers=headers)
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]


def test_an_id_in_upper_case_makes_no_other_request(user: User) -> None:
    headers = keyed()
    first = user.http.post(user.tasks, json={"title": "once"}, headers=headers)
    assert first.status_code == 201
    for path in (f"/api/{user.id.upper()}/tasks", f"{user.tasks}/"):
        same(first, user.http.post(path, json={"title": "once"}, headers=headers))
    task, headers = first.json(), keyed()
    toggled = user.http.patch(f"{user.path(task)}/complete", headers=headers)
    same(toggled, user.http.patch(f"{user.tasks}/{task['id'].upper()}/complete", headers=headers))
    assert [task["completed"] for task in user.list()] == [True]


def test_other_preconditions_make_another_request(user: User) -> None:
    headers = keyed()
    path = f"{user.path(user.create())}/complete"
    assert user.http.patch(path, headers={**headers, "If-None-Match": '"x"'}).status_code == 200
    for conditions in ({}, {"If-None-Match": '"y"'}, {"If-Match": '"x"'}):
        assert_problem(user.http.patch(path, headers={**headers, **conditions}), 422, "idempotency_key_reused")


def test_the_purge_deletes_what_has_expired_and_nothing_else(user: User, fresh_database: Database) -> None:
    fresh_database.query("INSERT INTO users (id, email, password_hash) VALUES ($1, 'a@b.c', '!')", UUID(user.id))
    for key, age in (("old", 25), ("young", 23)):
        fresh_database.query(
            "INSERT INTO idempotency_keys (id, user_id, key, fingerprint, created_at)"
            " VALUES ($1, $2, $3, '', now() - make_interval(hours => $4))",
            *(uuid7(), UUID(user.id), key, age),
        )
    fresh_database.query(PURGE.sql)
    assert [row["key"] for row in fresh_database.query("SELECT key FROM idempotency_keys")] == ["young"]


def test_what_a_statement_works_on_is_bounded_in_bytes_too(user: User, fresh_database: Database) -> None:
    """A thousand answers of some megabytes each take more than its time, and none would ever go."""
    fresh_database.query("INSERT INTO users (id, email, password_hash) VALUES ($1, 'a@b.c', '!')", UUID(user.id))
    for key in ("a", "b", "c", "d"):
        fresh_database.query(
            "INSERT INTO idempotency_keys (id, user_id, key, fingerprint, body, created_at)"
            " VALUES ($1, $2, $3, '', convert_to(repeat('x', $4), 'UTF8'), now() - interval '2 days')",
            *(uuid7(), UUID(user.id), key, PORTION_BYTES * 2 // 3),
        )
    forget = forgetting("shown.id = $3").sql
    assert [fresh_database.value(forget, user.id, behind, "") for behind in ("", "b", "d")] == ["b", "d", None]
    assert len(fresh_database.query(PURGE.sql)) == 2
    assert len(fresh_database.query(PURGE_ACCOUNT.sql, user.id)) == 2
    assert fresh_database.query(PURGE.sql) == []


async def test_concurrent_repeats_on_two_servers_leave_one_row_and_equal_answers(
    service: Service, start_service: Callable[..., Service], user: User
) -> None:
    second = await asyncio.to_thread(start_service)
    headers = {**dict(user.http.headers), **keyed()}
    async with httpx.AsyncClient(headers=headers, timeout=20, verify=False) as client:
        urls = [f"{server.url}{user.tasks}" for server in (service, second)] * 12
        answers = await asyncio.gather(*(client.post(url, json={"title": "raced"}) for url in urls))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(user.list()) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("SELECT pg_advisory_xact_lock(hashtextextended('{user}still-running', 0))", id="here"),
        pytest.param(
            "INSERT INTO idempotency_keys (id, user_id, key, fingerprint)"
            " VALUES (gen_random_uuid(), '{user}', 'still-running', '')",
            id="by the previous release",
        ),
    ],
)
def test_while_the_first_is_still_running_a_repeat_is_told_so(user: User, database: Database, first: str) -> None:
    headers = keyed("still-running")
    with held(database.url, f"BEGIN; {first.format(user=user.id)}"):
        answer = user.http.post(user.tasks, json={"title": "waits"}, headers=headers)
    assert_problem(answer, 409, "idempotency_in_progress")
    assert answer.headers["retry-after"] == "1"
    assert user.http.post(user.tasks, json={"title": "waits"}, headers=headers).status_code == 201


def test_who_waits_for_somebody_else_is_not_told_that_its_own_request_is_at_it(user: User, database: Database) -> None:
    task = user.path(user.create())
    with held(database.url, f"BEGIN; SELECT FROM users WHERE id = '{user.id}' FOR UPDATE"):
        answer = user.http.patch(task, json={"title": "waits"}, headers=keyed())
    assert_problem(answer, 503, "database_busy")


def test_the_users_row_is_locked_before_the_key_is_claimed(user: User, database: Database) -> None:
    """The claim's foreign key locks the row, too, but less: two that raise such a lock at once wait for each other."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    claims = (
        "SELECT count(*) FROM pg_locks WHERE relation = 'idempotency_keys'::regclass AND mode = 'RowExclusiveLock'"
        f" AND pid IN ({waiting})"
    )
    with (
        ThreadPoolExecutor(1) as thread,
        held(database.url, f"BEGIN; SELECT FROM users WHERE id = '{user.id}' FOR NO KEY UPDATE"),
    ):
        answer = thread.submit(user.http.post, user.tasks, json={"title": "waits"}, headers=keyed())
        eventually(lambda: database.query(waiting))
        assert database.value(claims) == 0
    assert answer.result().status_code in {201, 503}


async def test_writes_cut_off_by_a_crash_are_done_once_by_their_repeats(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    """Killed between commit and answer, before either, or after both: nobody can tell, and nobody has to."""
    doomed, other = await asyncio.gather(
        *(asyncio.to_thread(start_service, fresh_database.url) for _ in range(2)),
    )
    with await asyncio.to_thread(sign_up, doomed.url) as user:
        keys = [str(uuid4()) for _ in range(200)]

        async def write(server: Service, key: str) -> dict[str, Any] | None:
            try:
                answer = await client.post(f"{server.url}{user.tasks}", json={"title": key}, headers=keyed(key))
            except httpx.TransportError:
                return None
            return dict(answer.json()) if answer.status_code == 201 else None

        async with httpx.AsyncClient(headers=dict(user.http.headers), timeout=20, verify=False) as client:
            writes = [asyncio.create_task(write(doomed, key)) for key in keys]
            await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
            assert doomed.process is not None
            doomed.process.kill()
            before = await asyncio.gather(*writes)
            after = [await write(other, key) for key in keys]
    rows = await asyncio.to_thread(fresh_database.query, "SELECT id::text, title FROM tasks")
    assert sorted(row["title"] for row in rows) == sorted(keys)
    for first, repeat in zip(before, after, strict=True):
        assert repeat is not None
        assert first is None or first == repeat
