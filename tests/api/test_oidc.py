"""Access tokens of an external issuer, as a real one publishes its keys."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.database import Database
from tests.support.problems import assert_problem
from tests.support.server import Service
from tests.support.users import sign_up


class Issuer:
    """Discovery and keys over HTTP; signs what the test asks for."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        jwk.pop("key_ops", None)
        keys = {"keys": [{**jwk, "kid": "one", "alg": "ES256", "use": "sig"}]}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
                body = keys if self.path == "/keys" else {"issuer": url, "jwks_uri": f"{url}/keys"}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """The test says what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self, subject: str = "ada", kid: str = "one", **claims: Any) -> str:
        now = int(time.time())
        standard = {"iss": self.url, "aud": "tasks-service", "iat": now, "exp": now + 300, "jti": str(uuid4())}
        return jwt.encode({**standard, "sub": subject, **claims}, self.key, "ES256", {"kid": kid})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def server(issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]) -> Service:
    return start_service(fresh_database.url, OIDC_ISSUER=issuer.url)


def me(server: Service, token: str) -> httpx.Response:
    return httpx.get(f"{server.url}/api/auth/me", headers={"Authorization": f"Bearer {token}"})


def test_a_user_comes_to_life_on_first_sight_and_stays_the_same(server: Service, issuer: Issuer) -> None:
    first = me(server, issuer.token(email="Ada@example.com", email_verified=True, name="Ada"))
    assert first.status_code == 200
    assert (first.json()["email"], first.json()["name"]) == ("ada@example.com", "Ada")
    assert me(server, issuer.token()).json() == first.json()
    tasks = f"{server.url}/api/{first.json()['id']}/tasks"
    created = httpx.post(tasks, json={"title": "mine"}, headers={"Authorization": f"Bearer {issuer.token()}"})
    assert created.status_code == 201


def test_first_sight_on_two_servers_at_once_makes_one_user(
    server: Service, issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    second = start_service(fresh_database.url, OIDC_ISSUER=issuer.url)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: me((server, second)[n % 2], issuer.token("grace")), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert fresh_database.value("SELECT count(*) FROM users") == 1


def test_an_email_of_another_account_is_not_taken_over(server: Service, issuer: Issuer) -> None:
    with sign_up(server.url) as owner:
        stranger = me(server, issuer.token("mallory", email=owner.email, email_verified=True)).json()
    assert stranger["id"] != owner.id
    assert stranger["email"].endswith("@external.invalid")


@pytest.mark.parametrize("subject", ["a\ud800", "nul\0", "x" * 300])
def test_a_subject_that_cannot_be_stored_is_no_fault_of_the_service(
    server: Service, issuer: Issuer, subject: str
) -> None:
    assert me(server, issuer.token(subject)).status_code in (401, 422)


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"iss": "https://issuer.example"}, {"exp": 1}, {"kid": "unknown"}],
    ids=["audience", "issuer", "expired", "key"],
)
def test_a_token_that_is_not_for_us_is_a_401(server: Service, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert_problem(me(server, issuer.token(**claims)), 401, "unauthorized")


def test_while_the_issuer_is_away_its_tokens_wait_and_ours_do_not(server: Service, issuer: Issuer) -> None:
    issuer.close()
    away = me(server, issuer.token())
    assert_problem(away, 503, "identity_provider_unavailable")
    assert int(away.headers["retry-after"]) >= 1
    with sign_up(server.url) as user:
        assert user.list() == []
