"""The users behind an external issuer's tokens: who they are, and on which server."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.database import Database, held
from tests.support.issuer import ABSENT, Issuer, Key
from tests.support.problems import assert_problem
from tests.support.provider import API
from tests.support.server import Service, serve
from tests.support.users import me, sign_up


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def server(issuer: Issuer, own_database: Database) -> Iterator[Service]:
    with serve(own_database.url, OIDC_ISSUER=issuer.url) as running:
        yield running


@pytest.fixture(scope="module")
def second(issuer: Issuer, own_database: Database) -> Iterator[Service]:
    """Another on the same database."""
    with serve(own_database.url, OIDC_ISSUER=issuer.url) as running:
        yield running


def users(database: Database) -> int:
    return int(database.value("SELECT count(*) FROM users"))


def test_a_key_without_an_id_is_for_tokens_without_one(
    database: Database, start_service: Callable[..., Service]
) -> None:
    key = Key.make(kid=ABSENT)
    with Issuer(key) as issuer:
        server = start_service(database.url, OIDC_ISSUER=issuer.url)
        assert me(server, issuer.token("only key")).status_code == 200
        assert me(server, issuer.token("only key", header={"kid": "guessed"})).status_code == 401


def test_a_user_comes_to_life_on_first_sight_and_stays_the_same(server: Service, issuer: Issuer) -> None:
    first = me(server, issuer.token("first", email="Ada@example.com", email_verified=True, name="Ada"))
    assert first.status_code == 200
    assert (first.json()["email"], first.json()["name"]) == ("ada@example.com", "Ada")
    assert me(server, issuer.token("first")).json() == first.json()
    tasks = f"{server.url}/api/{first.json()['id']}/tasks"
    created = httpx.post(
        tasks, json={"title": "mine"}, headers={"Authorization": f"Bearer {issuer.token('first')}"}, verify=False
    )
    assert created.status_code == 201


def test_first_sight_on_two_servers_at_once_makes_one_user(
    server: Service, second: Service, issuer: Issuer, own_database: Database
) -> None:
    before = users(own_database)
    for subject in ("grace", "joan", "mary"):
        token = issuer.token(subject)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(me, (server, second) * 8, [token] * 16))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert users(own_database) == before + 3
    identities = "SELECT count(*) FROM external_identities WHERE subject = ANY ($1)"
    assert own_database.value(identities, ["grace", "joan", "mary"]) == 3


def test_of_two_identities_with_one_email_at_once_one_gets_it(
    server: Service, issuer: Issuer, own_database: Database
) -> None:
    before = users(own_database)
    with ThreadPoolExecutor(8) as threads:
        tokens = [issuer.token(f"twin {n}", email="twin@example.com", email_verified=True) for n in range(8)]
        answers = list(threads.map(lambda token: me(server, token), tokens))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["email"] for answer in answers].count("twin@example.com") == 1
    assert users(own_database) == before + 8


def test_a_user_deleted_on_one_server_is_a_new_one_on_every_server(
    server: Service, second: Service, issuer: Issuer
) -> None:
    token = issuer.token("margaret", email="margaret@example.com", email_verified=True)
    authorization = {"Authorization": f"Bearer {token}"}
    old = me(second, token).json()
    assert me(server, token).json() == old
    assert httpx.delete(f"{server.url}/api/auth/me", headers=authorization, verify=False).status_code == 204
    answer = me(second, token)
    assert answer.status_code == 200
    new = answer.json()
    assert new["id"] != old["id"]
    assert new["email"] == "margaret@example.com"
    assert me(server, token).json() == new
    for each in (server, second):
        assert httpx.get(f"{each.url}/api/{old['id']}/tasks", headers=authorization, verify=False).status_code == 403
        created = httpx.post(
            f"{each.url}/api/{new['id']}/tasks", json={"title": "new"}, headers=authorization, verify=False
        )
        assert created.status_code == 201


def test_an_email_of_another_account_is_not_taken_over(server: Service, issuer: Issuer) -> None:
    with sign_up(server.url) as owner:
        stranger = me(server, issuer.token("mallory", email=owner.email, email_verified=True)).json()
    assert stranger["id"] != owner.id
    assert stranger["email"].endswith("@external.invalid")


def test_own_tokens_and_the_audience_by_default(server: Service, issuer: Issuer) -> None:
    """The audience is JWT_AUDIENCE unless it is said, and tokens of our own are no affair of the issuer's."""
    with sign_up(server.url) as user:
        assert user.list() == []
        assert (
            httpx.get(
                f"{server.url}{user.tasks}", headers={"Authorization": f"Bearer {issuer.token()}"}, verify=False
            ).status_code
            == 403
        )
    assert_problem(me(server, issuer.token(aud=API)), 401, "unauthorized")


def test_a_user_of_the_issuer_waits_for_a_turn_before_any_statement(
    issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    """The statement that finds the user is no way around the limit on one user's slots."""
    server = start_service(
        fresh_database.url,
        OIDC_ISSUER=issuer.url,
        CONCURRENT_REQUESTS_PER_USER="1",
        QUEUED_REQUESTS_PER_USER="0",
        DB_STATEMENT_TIMEOUT_SECONDS="8",
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    token = issuer.token("noisy")
    locks = "BEGIN; LOCK tasks, external_identities"
    with sign_up(server.url) as user, ThreadPoolExecutor(2) as threads:
        with held(fresh_database.url, locks):
            threads.submit(user.list)  # one who is alone may have everything
            first = threads.submit(me, server, token)
            deadline = time.monotonic() + 5
            while fresh_database.value(waiting) < 2:
                assert time.monotonic() < deadline
            assert me(server, token).status_code == 429
        assert first.result().status_code == 200
