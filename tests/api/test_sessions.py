"""Refresh tokens: rotation, reuse, logout, and what a new password ends."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import jwt
import pytest

from service.accounts.store import SESSIONS_MAX, UNUSED_MAX
from tests.support.database import Database
from tests.support.problems import assert_problem, comparable, faults
from tests.support.server import SECRET, Service
from tests.support.users import PASSWORD, User, client

NEW_PASSWORD = "another correct horse"


def refresh(visitor: httpx.Client, token: str) -> httpx.Response:
    return visitor.post("/api/auth/refresh", json={"refresh_token": token})


def log_in(visitor: httpx.Client, user: User, password: str = PASSWORD) -> httpx.Response:
    return visitor.post("/api/auth/login", json={"email": user.email, "password": password})


def change_password(user: User, current: str, new: str = NEW_PASSWORD) -> httpx.Response:
    return user.http.put("/api/auth/password", json={"current_password": current, "new_password": new})


def test_refreshing_gives_a_new_pair_for_the_same_user(visitor: httpx.Client, user: User) -> None:
    response = refresh(visitor, user.refresh_token)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    session = response.json()
    assert session["user"]["id"] == user.id
    assert session["refresh_token"] != user.refresh_token
    me = visitor.get("/api/auth/me", headers={"Authorization": f"Bearer {session['access_token']}"})
    assert me.json() == session["user"]
    assert refresh(visitor, session["refresh_token"]).status_code == 200


USED_BEFORE = "UPDATE refresh_tokens SET used_at = used_at - $2 * interval '1 second' WHERE user_id = $1"


def let_pass(database: Database, user: User, seconds: float) -> None:
    """As if every refresh token of the user had been used so much earlier."""
    database.query(USED_BEFORE, UUID(user.id), seconds)


def refreshed(visitor: httpx.Client, token: str) -> str:
    response = refresh(visitor, token)
    assert response.status_code == 200, response.text
    return str(response.json()["refresh_token"])


def test_a_token_reused_after_the_leeway_ends_its_whole_family(
    visitor: httpx.Client, user: User, database: Database, service: Service
) -> None:
    elsewhere = log_in(visitor, user).json()["refresh_token"]
    second = refreshed(visitor, user.refresh_token)
    third = refreshed(visitor, second)
    let_pass(database, user, 31)
    counted = service.metric('auth_failures_total{reason="refresh_reuse"}')
    for token in (user.refresh_token, third, second, user.refresh_token):
        assert_problem(refresh(visitor, token), 401, "bad_refresh_token")
    assert service.metric('auth_failures_total{reason="refresh_reuse"}') == counted + 1
    assert refresh(visitor, elsewhere).status_code == 200


@pytest.mark.parametrize("first_used", ["first", "second"])
def test_a_token_sent_twice_within_the_leeway_gives_two_sessions_that_go_on(
    visitor: httpx.Client, user: User, database: Database, first_used: str
) -> None:
    """Two tabs, or a client whose first answer got lost, whichever of the answers it then goes on with."""
    answers = [refreshed(visitor, user.refresh_token) for _ in range(2)]
    assert len({*answers, user.refresh_token}) == 3
    for token in answers if first_used == "first" else answers[::-1]:
        second = refreshed(visitor, token)
        let_pass(database, user, 3600)
        assert refreshed(visitor, second)
    families = "SELECT count(DISTINCT family) FROM refresh_tokens WHERE user_id = $1"
    assert database.value(families, UUID(user.id)) == 1


def test_the_leeway_runs_from_the_first_use_however_often_it_is_repeated(
    visitor: httpx.Client, user: User, database: Database
) -> None:
    for _ in range(3):
        newest = refreshed(visitor, user.refresh_token)
        let_pass(database, user, 12)
    assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")
    assert_problem(refresh(visitor, newest), 401, "bad_refresh_token")


def test_without_a_leeway_every_repeat_is_a_reuse(user: User, start_service: Callable[..., Service]) -> None:
    strict = start_service(JWT_REFRESH_LEEWAY_SECONDS="0")
    with client(strict.url) as visitor:
        newest = refreshed(visitor, user.refresh_token)
        assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")
        assert_problem(refresh(visitor, newest), 401, "bad_refresh_token")


def test_a_session_that_has_ended_is_not_revived_within_the_leeway(visitor: httpx.Client, user: User) -> None:
    newest = refreshed(visitor, user.refresh_token)
    assert visitor.post("/api/auth/logout", json={"refresh_token": user.refresh_token}).status_code == 204
    for token in (user.refresh_token, newest):
        assert_problem(refresh(visitor, token), 401, "bad_refresh_token")


def test_repeating_a_token_does_not_pile_up_sessions(visitor: httpx.Client, user: User, database: Database) -> None:
    """Whoever repeats a token all the time must not make an end of its sessions dear; the newest ones remain."""
    tokens = [refreshed(visitor, user.refresh_token) for _ in range(UNUSED_MAX + 5)]
    unused = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert database.value(unused, UUID(user.id)) == UNUSED_MAX
    assert_problem(refresh(visitor, tokens[4]), 401, "bad_refresh_token")
    assert refreshed(visitor, tokens[5])
    assert refreshed(visitor, tokens[-1])


def test_logging_in_does_not_pile_up_sessions(visitor: httpx.Client, user: User, database: Database) -> None:
    """A new password, or the end of the account, has to end all of them in one statement."""
    many = (
        "INSERT INTO refresh_tokens (id, user_id, family, token_hash, expires_at)"
        " SELECT gen_random_uuid(), $1, gen_random_uuid(), md5(random()::text), now() + interval '1 day'"
        " FROM generate_series(1, $2)"
    )
    database.query(many, UUID(user.id), SESSIONS_MAX + 5)
    newest = log_in(visitor, user).json()["refresh_token"]
    unused = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert database.value(unused, UUID(user.id)) == SESSIONS_MAX
    assert refreshed(visitor, newest)
    assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")  # the oldest of all


def test_logging_out_with_an_expired_token_ends_what_came_of_it(
    visitor: httpx.Client, user: User, database: Database
) -> None:
    newest = refreshed(visitor, user.refresh_token)
    database.query(
        "UPDATE refresh_tokens SET expires_at = now() WHERE user_id = $1 AND used_at IS NOT NULL", UUID(user.id)
    )
    assert visitor.post("/api/auth/logout", json={"refresh_token": user.refresh_token}).status_code == 204
    assert_problem(refresh(visitor, newest), 401, "bad_refresh_token")


def test_one_refresh_token_raced_gives_everybody_a_session_of_one_family(
    service: Service, user: User, database: Database
) -> None:
    def race(_: int) -> str:
        with client(service.url) as racer:
            return refreshed(racer, user.refresh_token)

    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(race, range(8)))
    with client(service.url) as visitor:
        assert len({refreshed(visitor, token) for token in tokens}) == 8
    families = "SELECT count(DISTINCT family) FROM refresh_tokens WHERE user_id = $1"
    assert database.value(families, UUID(user.id)) == 1


def test_one_refresh_token_raced_without_a_leeway_gives_at_most_one_session(
    user: User, database: Database, start_service: Callable[..., Service]
) -> None:
    strict = start_service(JWT_REFRESH_LEEWAY_SECONDS="0")

    def race(_: int) -> int:
        with client(strict.url) as racer:
            return refresh(racer, user.refresh_token).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(race, range(8)))
    assert sorted(statuses) == [200] + [401] * 7
    unused = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert database.value(unused, UUID(user.id)) == 0


@pytest.mark.parametrize("token", ["x", "x" * 512, "\u00e9", "a\0b", " ", "' OR 1=1"])
def test_an_unknown_refresh_token_is_a_401(visitor: httpx.Client, user: User, token: str) -> None:
    response = refresh(visitor, token)
    assert_problem(response, 401, "bad_refresh_token")
    visitor.post("/api/auth/logout", json={"refresh_token": user.refresh_token})
    assert comparable(refresh(visitor, user.refresh_token)) == comparable(response)


@pytest.mark.parametrize("route", ["refresh", "logout"])
@pytest.mark.parametrize(
    ("body", "where", "why"),
    [
        ({}, "/refresh_token", "missing"),
        ({"refresh_token": ""}, "/refresh_token", "too_short"),
        ({"refresh_token": "x" * 513}, "/refresh_token", "too_long"),
        ({"refresh_token": 5}, "/refresh_token", "string_type"),
    ],
)
def test_a_refresh_token_is_text(
    visitor: httpx.Client, route: str, body: dict[str, object], where: str, why: str
) -> None:
    assert faults(visitor.post(f"/api/auth/{route}", json=body)) == {(where, why)}


def test_an_expired_refresh_token_is_a_401(visitor: httpx.Client, user: User, database: Database) -> None:
    database.query("UPDATE refresh_tokens SET expires_at = now() WHERE user_id = $1", UUID(user.id))
    assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")


def test_logging_out_ends_this_session_only(visitor: httpx.Client, user: User) -> None:
    elsewhere = log_in(visitor, user).json()["refresh_token"]
    rotated = refresh(visitor, user.refresh_token).json()["refresh_token"]
    response = visitor.post("/api/auth/logout", json={"refresh_token": rotated})
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(refresh(visitor, rotated), 401, "bad_refresh_token")
    assert refresh(visitor, elsewhere).status_code == 200


def test_logging_out_twice_or_with_nonsense_is_as_good(visitor: httpx.Client, user: User) -> None:
    for token in (user.refresh_token, user.refresh_token, "nonsense", "a\0b"):
        assert visitor.post("/api/auth/logout", json={"refresh_token": token}).status_code == 204


def test_a_new_password_replaces_the_old_and_ends_other_sessions(visitor: httpx.Client, user: User) -> None:
    elsewhere = log_in(visitor, user).json()["refresh_token"]
    response = change_password(user, PASSWORD)
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(log_in(visitor, user, PASSWORD), 401, "bad_credentials")
    assert log_in(visitor, user, NEW_PASSWORD).status_code == 200
    assert_problem(refresh(visitor, elsewhere), 401, "bad_refresh_token")
    assert refresh(visitor, user.refresh_token).status_code == 200


@pytest.mark.parametrize("wrong", ["", "wrong password", PASSWORD + " ", "a\0b"])
def test_a_new_password_needs_the_current_one(visitor: httpx.Client, user: User, wrong: str) -> None:
    elsewhere = log_in(visitor, user).json()["refresh_token"]
    assert_problem(change_password(user, wrong), 401, "bad_credentials")
    assert log_in(visitor, user).status_code == 200
    assert refresh(visitor, elsewhere).status_code == 200


@pytest.mark.parametrize(("new", "why"), [("short", "too_short"), ("x" * 129, "too_long"), ("nul\0nul\0", "nul")])
def test_a_new_password_keeps_the_rules(visitor: httpx.Client, user: User, new: str, why: str) -> None:
    assert faults(change_password(user, PASSWORD, new)) == {("/new_password", why)}
    assert log_in(visitor, user).status_code == 200


def test_a_token_ends_when_it_says_although_it_was_remembered_as_good(service: Service, user: User) -> None:
    claims = jwt.decode(user.token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900
    leeway, now = 10, time.time()
    token = jwt.encode({**claims, "iat": now - 60, "exp": now - leeway + 3}, SECRET, algorithm="HS256")
    with client(service.url, Authorization=f"Bearer {token}") as visitor:
        assert visitor.get("/api/auth/me").status_code == 200
        deadline = time.monotonic() + 5
        while (answer := visitor.get("/api/auth/me")).status_code == 200:
            assert time.monotonic() < deadline, "the token never ends"
            time.sleep(0.05)
        assert_problem(answer, 401, "unauthorized")
