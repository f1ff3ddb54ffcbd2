"""An account that was deleted has ended at once, for every route and every pod; its rows go soon after."""

import signal
from collections.abc import Callable
from uuid import UUID

import pytest

from service.purge import OF_ACCOUNTS
from tests.support.database import Database
from tests.support.drill import eventually, pick, report
from tests.support.problems import assert_problem
from tests.support.server import Service, serve
from tests.support.users import PASSWORD, User, client, sign_up

ME = "/api/auth/me"
MANY_TASKS = pick(30_000, 800_000)
PURGED_WITHIN_SECONDS = pick(120, 900)
FILL = "INSERT INTO tasks (id, user_id, title) SELECT gen_random_uuid(), $1, 'task ' || n FROM generate_series(1, $2) n"
FOREIGN_KEYS = """
    SELECT conrelid::regclass::text AS referring FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'users'::regclass AND confdeltype = 'c'"""


def rows_of(database: Database, user: User) -> int:
    """How many rows of the user there are, in all tables."""
    tables = [row["referring"] for row in database.query(FOREIGN_KEYS)]
    counts = [f"(SELECT count(*) FROM {table} WHERE user_id = $1)" for table in tables]
    return int(
        database.value(f"SELECT (SELECT count(*) FROM users WHERE id = $1) + {' + '.join(counts)}", UUID(user.id))
    )


def credentials(user: User) -> dict[str, str]:
    return {"email": user.email, "password": PASSWORD}


def test_every_table_that_refers_to_users_is_emptied_in_portions_or_holds_little(database: Database) -> None:
    assert {row["referring"] for row in database.query(FOREIGN_KEYS)} == {*OF_ACCOUNTS, "external_identities"}


def test_an_account_has_ended_at_once_on_every_route(service: Service, user: User, other_user: User) -> None:
    task, kept = user.create(), other_user.create()
    with_key = {"Idempotency-Key": "once"}
    assert user.http.post(user.tasks, json={"title": "once"}, headers=with_key).status_code == 201
    response = user.http.delete(ME)
    assert (response.status_code, response.content) == (204, b"")

    path = user.path(task)
    for method, where, body in (
        ("GET", ME, None),
        ("DELETE", ME, None),
        ("PUT", "/api/auth/password", {"current_password": PASSWORD, "new_password": "another correct horse"}),
        ("GET", user.tasks, None),
        ("GET", f"{user.tasks}?completed=true", None),
        ("POST", user.tasks, {"title": "too late"}),
    ):
        assert_problem(user.http.request(method, where, json=body), 401, "unauthorized")
    for key in ("once", "another"):
        answer = user.http.post(user.tasks, json={"title": "once"}, headers={"Idempotency-Key": key})
        assert_problem(answer, 401, "unauthorized")
    for method, where, body in (
        ("GET", path, None),
        ("PUT", path, {"title": "too late"}),
        ("PATCH", path, {"title": "too late"}),
        ("PATCH", f"{path}/complete", None),
        ("DELETE", path, None),
    ):
        assert_problem(user.http.request(method, where, json=body), 404, "task_not_found")
    assert other_user.list() == [kept]


def test_nobody_gets_into_an_account_that_has_ended_and_its_email_is_free(service: Service, user: User) -> None:
    assert user.http.delete(ME).status_code == 204
    with client(service.url) as visitor:
        assert_problem(visitor.post("/api/auth/login", json=credentials(user)), 401, "bad_credentials")
        refresh = {"refresh_token": user.refresh_token}
        assert_problem(visitor.post("/api/auth/refresh", json=refresh), 401, "bad_refresh_token")
        again = visitor.post("/api/auth/signup", json=credentials(user))
        assert again.status_code == 201
        assert again.json()["user"]["id"] != user.id
        assert visitor.post("/api/auth/login", json=credentials(user)).json()["user"] == again.json()["user"]
    assert_problem(user.http.get(ME), 401, "unauthorized")


def test_all_that_an_account_had_disappears(service: Service, user: User, other_user: User, database: Database) -> None:
    kept = other_user.create()
    for number in range(3):
        user.http.post(user.tasks, json={"title": "x"}, headers={"Idempotency-Key": f"key {number}"})
    with client(service.url) as visitor:
        visitor.post("/api/auth/refresh", json={"refresh_token": user.refresh_token})
    identity = "INSERT INTO external_identities (id, issuer, subject, user_id) VALUES ($1, 'https://id', $2, $1)"
    database.query(identity, UUID(user.id), user.id)
    assert user.http.delete(ME).status_code == 204
    assert database.value("SELECT count(*) FROM external_identities WHERE user_id = $1", UUID(user.id)) == 0
    assert database.value("SELECT email NOT LIKE '%@%' AND name IS NULL FROM users WHERE id = $1", UUID(user.id))
    eventually(lambda: rows_of(database, user) == 0, within_seconds=60)
    assert_problem(user.http.get(user.tasks), 401, "unauthorized")
    assert_problem(user.http.post(user.tasks, json={"title": "x"}), 401, "unauthorized")
    assert other_user.list() == [kept]


@pytest.mark.drill
@pytest.mark.timeout(pick(300, 1800))
def test_an_account_with_many_tasks_ends_at_once_and_its_rows_go_behind_it(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    """Two pods remove them, and the first is killed in the middle of it."""
    with serve(fresh_database.url) as other:
        service = start_service(fresh_database.url)
        with sign_up(service.url) as user, sign_up(other.url) as neighbour:
            for portion in [100_000] * (MANY_TASKS // 100_000) + [MANY_TASKS % 100_000]:
                fresh_database.query(FILL, UUID(user.id), portion)
            kept = neighbour.create()
            response = user.http.delete(ME)
            assert response.status_code == 204
            seconds = response.elapsed.total_seconds()
            assert seconds < 2, "what a statement may take"
            with client(other.url) as visitor:
                assert visitor.post("/api/auth/signup", json=credentials(user)).status_code == 201
            eventually(lambda: rows_of(fresh_database, user) < MANY_TASKS, within_seconds=60)
            service.stop(signal.SIGKILL)
            purged = eventually(lambda: rows_of(fresh_database, user) == 0, within_seconds=PURGED_WITHIN_SECONDS)
            assert neighbour.list() == [kept]
    report("promise 20, an account with many tasks", tasks=MANY_TASKS, answered_after=seconds, purged_after=purged)
