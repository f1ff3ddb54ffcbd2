"""Signing up, logging in, and leaving."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem, comparable, faults
from tests.support.users import PASSWORD, User, new_email

SIGNUP, LOGIN, ME = "/api/auth/signup", "/api/auth/login", "/api/auth/me"
LONG_EMAIL = f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.example.com"


def credentials(email: str, password: str = PASSWORD) -> dict[str, str]:
    return {"email": email, "password": password}


def test_signing_up_begins_a_session(visitor: httpx.Client) -> None:
    email = new_email()
    response = visitor.post(SIGNUP, json={**credentials(email), "name": "Ada"})
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    session = response.json()
    assert set(session) == {"user", "access_token", "token_type", "expires_in", "refresh_token"}
    assert set(session["user"]) == {"id", "email", "name", "created_at"}
    assert (session["user"]["email"], session["user"]["name"]) == (email, "Ada")
    assert (session["token_type"], session["expires_in"]) == ("Bearer", 900)
    assert UUID(session["user"]["id"]).version == 7
    created_at = datetime.fromisoformat(session["user"]["created_at"])
    assert abs(created_at - datetime.now(UTC)) < timedelta(seconds=2)
    me = visitor.get(ME, headers={"Authorization": f"Bearer {session['access_token']}"})
    assert me.json() == session["user"]
    assert me.headers["cache-control"] == "no-store"


def test_a_password_is_stored_as_argon2id_and_a_refresh_token_as_a_hash(user: User, database: Database) -> None:
    stored = database.value("SELECT password_hash FROM users WHERE id = $1", UUID(user.id))
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    rows = database.query("SELECT token_hash FROM refresh_tokens WHERE user_id = $1", UUID(user.id))
    assert [len(row["token_hash"]) for row in rows] == [64]
    assert rows[0]["token_hash"] != user.refresh_token


@pytest.mark.parametrize(
    ("changed", "where", "why"),
    [
        ({"email": ""}, "/email", "email"),
        ({"email": "ada"}, "/email", "email"),
        ({"email": "@example.com"}, "/email", "email"),
        ({"email": "ada@"}, "/email", "email"),
        ({"email": "ada@example.com, eve@example.com"}, "/email", "email"),
        ({"email": "ada\r\nBcc: x@example.com"}, "/email", "email"),
        ({"email": "a\0b@example.com"}, "/email", "nul"),
        ({"email": "a@" + "b" * 300 + ".com"}, "/email", "too_long"),
        ({"email": None}, "/email", "string_type"),
        ({"email": ["ada@example.com"]}, "/email", "string_type"),
        ({"password": "1234567"}, "/password", "too_short"),
        ({"password": "x" * 129}, "/password", "too_long"),
        ({"password": "nul\0nul\0nul"}, "/password", "nul"),
        ({"password": 12345678}, "/password", "string_type"),
        ({"name": ""}, "/name", "too_short"),
        ({"name": "x" * 201}, "/name", "too_long"),
        ({"name": "a\0b"}, "/name", "nul"),
        ({"role": "admin"}, "/role", "unknown_field"),
        ({"password_hash": "x"}, "/password_hash", "unknown_field"),
        ({"id": "01890a5d-ac96-774b-bcce-b302099a8057"}, "/id", "unknown_field"),
    ],
)
def test_an_invalid_signup_makes_no_account(
    visitor: httpx.Client, database: Database, changed: dict[str, object], where: str, why: str
) -> None:
    email = new_email()
    assert faults(visitor.post(SIGNUP, json={**credentials(email), **changed})) == {(where, why)}
    assert database.value("SELECT count(*) FROM users WHERE email = $1", email) == 0


@pytest.mark.parametrize(
    "domain", ["corp.local", "localhost", "sub.localhost", "test", "x.test", "x.invalid", "intranet"]
)
def test_an_address_within_a_private_network_is_one(visitor: httpx.Client, domain: str) -> None:
    email = f"{new_email().partition('@')[0]}@{domain}"
    assert visitor.post(SIGNUP, json=credentials(email)).status_code == 201
    assert visitor.post(LOGIN, json=credentials(email)).json()["user"]["email"] == email


@pytest.mark.parametrize("missing", ["email", "password"])
def test_email_and_password_are_required(visitor: httpx.Client, missing: str) -> None:
    body = credentials(new_email())
    del body[missing]
    assert faults(visitor.post(SIGNUP, json=body)) == {(f"/{missing}", "missing")}


@pytest.mark.parametrize("password", ["12345678", "x" * 128, "\U0001f600" * 128, "   spaces   ", "pa\u00dfwort!"])
def test_a_password_is_what_was_typed(visitor: httpx.Client, password: str) -> None:
    email = new_email()
    assert visitor.post(SIGNUP, json=credentials(email, password)).status_code == 201
    assert visitor.post(LOGIN, json=credentials(email, password)).status_code == 200
    assert_problem(visitor.post(LOGIN, json=credentials(email, password + " ")), 401, "bad_credentials")


@pytest.mark.parametrize(
    ("signed_up", "typed"),
    [
        ("{}@example.com", "{}@EXAMPLE.com"),
        ("{}@example.com", "  {}@example.com "),
        ("Ada.{}@Example.COM", "ada.{}@example.com"),
        ("ada.{}@example.com", "ADA.{}@EXAMPLE.COM"),
        ("jose\u0301.{}@example.com", "jos\u00e9.{}@example.com"),
        ("jos\u00e9.{}@example.com", "jose\u0301.{}@example.com"),
        ("{}@b\u00fccher.example", "{}@xn--bcher-kva.example"),
        ("{}@xn--bcher-kva.example", "{}@B\u00fccher.example"),
    ],
)
def test_two_spellings_of_an_email_are_one_account(visitor: httpx.Client, signed_up: str, typed: str) -> None:
    local = new_email().partition("@")[0]
    first = visitor.post(SIGNUP, json=credentials(signed_up.format(local)))
    assert first.status_code == 201
    login = visitor.post(LOGIN, json=credentials(typed.format(local)))
    assert login.status_code == 200, login.text
    assert login.json()["user"] == first.json()["user"]
    assert_problem(visitor.post(SIGNUP, json=credentials(typed.format(local))), 409, "email_taken")


def test_a_taken_email_says_nothing_about_its_owner(visitor: httpx.Client, user: User) -> None:
    response = visitor.post(SIGNUP, json=credentials(user.email, "another password"))
    assert_problem(response, 409, "email_taken")
    assert user.id not in response.text
    assert user.email not in response.text
    assert visitor.post(LOGIN, json=credentials(user.email)).status_code == 200


def test_a_failed_login_tells_nothing(visitor: httpx.Client, user: User) -> None:
    attempts = [
        credentials(user.email, "wrong password"),
        credentials(user.email, ""),
        credentials(user.email, "x" * 1024),
        credentials(new_email(), PASSWORD),
        credentials(new_email(), ""),
        credentials(new_email(), "nobody has this password"),  # what an unknown user's is compared with
        credentials("not an email", "x"),
        credentials("", ""),
        credentials("a\0b@example.com", PASSWORD),
        credentials(user.email, "a\0b"),
        credentials(LONG_EMAIL, "x"),
    ]
    answers = [visitor.post(LOGIN, json=attempt) for attempt in attempts]
    assert_problem(answers[0], 401, "bad_credentials")
    assert {str(comparable(answer)) for answer in answers} == {str(comparable(answers[0]))}


def test_a_login_without_its_fields_is_a_422(visitor: httpx.Client) -> None:
    assert faults(visitor.post(LOGIN, json={})) == {("/email", "missing"), ("/password", "missing")}


@pytest.mark.parametrize(("method", "path"), [("GET", ME), ("DELETE", ME), ("PUT", "/api/auth/password")])
def test_ones_own_account_needs_a_token(visitor: httpx.Client, method: str, path: str) -> None:
    response = visitor.request(method, path)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer ")
