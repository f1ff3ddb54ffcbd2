"""An account operation whose commit got lost, or that was answered 503, can be repeated and costs nobody a session."""

from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest

from tests.support.database import Database, held
from tests.support.postgres import Postgres
from tests.support.problems import assert_problem
from tests.support.proxy import Proxy
from tests.support.server import Service, serve
from tests.support.users import PASSWORD, User, client, new_email, sign_up

NEW_PASSWORD = "another correct horse"


@pytest.fixture(scope="module")
def proxy(own_postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(int(own_postgres.options["port"])) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def service(proxy: Proxy, own_postgres: Postgres, own_database: Database) -> Iterator[Service]:
    """One connection, so that the next request finds out that it was cut."""
    url = own_database.url.replace(f":{own_postgres.options['port']}/", f":{proxy.port}/")
    with serve(url, DB_POOL_MIN="1", DB_POOL_MAX="1") as running:
        yield running


@pytest.fixture
def visitor(service: Service) -> Iterator[httpx.Client]:
    with client(service.url) as connection:
        yield connection


def refresh(visitor: httpx.Client, token: str) -> httpx.Response:
    return visitor.post("/api/auth/refresh", json={"refresh_token": token})


def log_in(visitor: httpx.Client, email: str, password: str = PASSWORD) -> httpx.Response:
    return visitor.post("/api/auth/login", json={"email": email, "password": password})


@pytest.fixture(params=["commit", "answer"])
def lost(request: pytest.FixtureRequest, proxy: Proxy) -> Callable[[], bool]:
    """Lose the next commit or its answer; returns whether it will have been committed."""

    def lose() -> bool:
        arrives = str(request.param) == "answer"
        proxy.lose(b"COMMIT;", arrives=arrives)
        return arrives

    return lose


def test_a_rotation_can_be_repeated(visitor: httpx.Client, user: User, lost: Callable[[], bool]) -> None:
    lost()
    assert_problem(refresh(visitor, user.refresh_token), 503, "database_unavailable")
    repeated = refresh(visitor, user.refresh_token)
    assert repeated.status_code == 200
    assert refresh(visitor, repeated.json()["refresh_token"]).status_code == 200


def test_a_login_can_be_repeated(visitor: httpx.Client, user: User, lost: Callable[[], bool]) -> None:
    lost()
    assert_problem(log_in(visitor, user.email), 503, "database_unavailable")
    assert log_in(visitor, user.email).status_code == 200
    assert refresh(visitor, user.refresh_token).status_code == 200


def test_after_a_sign_up_one_can_log_in(visitor: httpx.Client, lost: Callable[[], bool]) -> None:
    body = {"email": new_email(), "password": PASSWORD}
    committed = lost()
    assert_problem(visitor.post("/api/auth/signup", json=body), 503, "database_unavailable")
    repeated = visitor.post("/api/auth/signup", json=body)
    assert repeated.status_code == (409 if committed else 201)
    assert log_in(visitor, body["email"]).status_code == 200


def test_a_logout_can_be_repeated(visitor: httpx.Client, user: User, lost: Callable[[], bool]) -> None:
    body = {"refresh_token": user.refresh_token}
    lost()
    assert_problem(visitor.post("/api/auth/logout", json=body), 503, "database_unavailable")
    assert visitor.post("/api/auth/logout", json=body).status_code == 204
    assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")


def test_a_new_password_is_there_whole_or_not_at_all(
    visitor: httpx.Client, user: User, lost: Callable[[], bool]
) -> None:
    elsewhere = log_in(visitor, user.email).json()["refresh_token"]
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    committed = lost()
    assert_problem(user.http.put("/api/auth/password", json=body), 503, "database_unavailable")
    assert log_in(visitor, user.email, NEW_PASSWORD).status_code == (200 if committed else 401)
    assert refresh(visitor, elsewhere).status_code == (401 if committed else 200)
    assert refresh(visitor, user.refresh_token).status_code == 200


def test_an_account_is_there_whole_or_not_at_all(visitor: httpx.Client, user: User, lost: Callable[[], bool]) -> None:
    committed = lost()
    assert_problem(user.http.delete("/api/auth/me"), 503, "database_unavailable")
    assert user.http.delete("/api/auth/me").status_code == (401 if committed else 204)
    assert_problem(refresh(visitor, user.refresh_token), 401, "bad_refresh_token")
    assert_problem(log_in(visitor, user.email), 401, "bad_credentials")


def test_what_was_answered_503_has_changed_nothing(visitor: httpx.Client, user: User, own_database: Database) -> None:
    """The user's row is locked for longer than a statement may take."""
    elsewhere = log_in(visitor, user.email).json()["refresh_token"]
    with held(own_database.url, f"BEGIN; SELECT FROM users WHERE id = '{user.id}' FOR UPDATE"):
        assert_problem(refresh(visitor, elsewhere), 503, "database_timeout")
    unused = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
    assert own_database.value(unused, UUID(user.id)) == 2
    assert refresh(visitor, elsewhere).status_code == 200


@pytest.fixture
def user(service: Service) -> Iterator[User]:
    with sign_up(service.url) as somebody:
        yield somebody
