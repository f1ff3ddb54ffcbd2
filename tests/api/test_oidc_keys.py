"""The external issuer's keys: who waits for them, who does not, and what serves while the issuer is slow or away."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from tests.support.database import Database
from tests.support.issuer import CONFIGURATION, KEYS, Issuer, Key, send, until
from tests.support.problems import assert_problem
from tests.support.raw import request
from tests.support.resolver import UNRESOLVED, hanging_resolver
from tests.support.server import Service
from tests.support.users import me, sign_up

UNAVAILABLE = "identity_provider_unavailable"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set it to let the issuer go on."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def start(issuer: Issuer, database: Database, start_service: Callable[..., Service]) -> Callable[[], Service]:
    return lambda: start_service(database.url, OIDC_ISSUER=issuer.url)


def forged(issuer: Issuer, key_id: str) -> str:
    return Key.make(kid=key_id).sign(issuer.claims())


def becomes(server: Service, token: str, status: int) -> httpx.Response:
    """The first answer of this status, within the pauses that there are between fetches."""
    deadline = time.monotonic() + 20
    while (answer := me(server, token)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    return answer


def test_a_client_that_hangs_up_during_the_first_fetch_harms_nobody(
    issuer: Issuer, start: Callable[[], Service], released: threading.Event
) -> None:
    """The issuer answers once the client has gone."""

    def answer_later(handler: BaseHTTPRequestHandler) -> None:
        released.wait(15)
        issuer.answers.clear()
        send(handler, json.dumps(issuer.configuration()).encode())

    issuer.answers[CONFIGURATION] = answer_later
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(request("GET", "/api/auth/me", f"Authorization: Bearer {issuer.token()}"))
        issuer.wait_for_hit(CONFIGURATION)
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(me, server, issuer.token())
        released.set()
        assert waiting.result().status_code == 200
    assert me(server, issuer.token()).status_code == 200


def test_nobody_waits_for_the_fetch_that_a_forged_key_id_causes(
    issuer: Issuer, start: Callable[[], Service], released: threading.Event
) -> None:
    server = start()
    assert me(server, issuer.token("known")).status_code == 200
    fetched = issuer.hits[CONFIGURATION]
    issuer.answers[CONFIGURATION] = until(released)
    with sign_up(server.url) as user, ThreadPoolExecutor(1) as thread:
        forger = thread.submit(me, server, forged(issuer, "forged"))
        issuer.wait_for_hit(CONFIGURATION, fetched + 1)
        assert me(server, issuer.token("known")).status_code == 200
        assert me(server, issuer.token("never seen")).status_code == 200
        assert user.list() == []
        assert not forger.done()
        assert_problem(forger.result(), 401, "unauthorized")  # without the issuer, after a while of its own
    assert me(server, issuer.token("known")).status_code == 200


def test_forged_key_ids_share_one_fetch(issuer: Issuer, start: Callable[[], Service]) -> None:
    server = start()
    assert me(server, issuer.token()).status_code == 200
    fetched = issuer.hits[KEYS]
    tokens = [forged(issuer, f"forged {number}") for number in range(40)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(me, [server] * len(tokens), tokens))
    assert {answer.status_code for answer in answers} == {401}
    assert issuer.hits[KEYS] - fetched <= 1 + (time.monotonic() - began) / 5


def test_a_new_key_is_known_at_once_and_an_old_one_no_longer(issuer: Issuer, start: Callable[[], Service]) -> None:
    server = start()
    old = issuer.token()
    assert me(server, old).status_code == 200
    issuer.rotate()
    assert me(server, old).status_code == 200  # nobody has had a reason to ask the issuer
    assert me(server, issuer.token()).status_code == 200
    assert_problem(me(server, old), 401, "unauthorized")
    assert "issuer_keys_changed" in server.log()


def test_a_new_key_is_known_soon_even_right_after_a_forged_one(issuer: Issuer, start: Callable[[], Service]) -> None:
    server = start()
    assert me(server, forged(issuer, "forged")).status_code == 401
    issuer.rotate()
    becomes(server, issuer.token(), 200)


def test_the_last_good_keys_serve_while_the_issuer_is_away(issuer: Issuer, start: Callable[[], Service]) -> None:
    server = start()
    assert me(server, issuer.token()).status_code == 200
    issuer.close()
    assert_problem(me(server, forged(issuer, "forged")), 401, "unauthorized")
    assert me(server, issuer.token("somebody new")).status_code == 200
    assert "issuer_keys_failed" in server.log()
    issuer.open()


def test_the_last_good_keys_serve_while_the_issuer_talks_nonsense(issuer: Issuer, start: Callable[[], Service]) -> None:
    server = start()
    assert me(server, issuer.token()).status_code == 200
    issuer.answers[KEYS] = lambda handler: send(handler, b'{"keys": [')
    fetched = issuer.hits[KEYS]
    assert_problem(me(server, forged(issuer, "forged")), 401, "unauthorized")
    assert issuer.hits[KEYS] == fetched + 1
    assert me(server, issuer.token("somebody new")).status_code == 200


def test_while_no_key_is_known_tokens_of_the_issuer_wait_and_ours_do_not(
    issuer: Issuer, start: Callable[[], Service]
) -> None:
    issuer.close()
    server = start()
    away = me(server, issuer.token())
    assert_problem(away, 503, UNAVAILABLE)
    assert 1 <= int(away.headers["retry-after"]) <= 10
    with sign_up(server.url) as user:
        assert user.list() == []
    issuer.open()
    becomes(server, issuer.token(), 200)


def test_an_issuer_whose_answer_never_ends_costs_little_time_and_no_shutdown(
    issuer: Issuer, start: Callable[[], Service], released: threading.Event
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while not released.wait(0.1):
            handler.wfile.write(b"x")

    issuer.answers[CONFIGURATION] = drip
    server = start()
    with ThreadPoolExecutor(20) as threads:
        began = time.monotonic()
        answers = list(threads.map(me, [server] * 20, [issuer.token()] * 20))
        assert time.monotonic() - began < 10
    for answer in answers:
        assert_problem(answer, 503, UNAVAILABLE)
    assert server.stop() == 0
    assert time.monotonic() - began < 18


def test_a_name_that_nobody_resolves_does_not_hold_up_the_end(
    database: Database, start_service: Callable[..., Service], tmp_path: Path
) -> None:
    server = start_service(database.url, OIDC_ISSUER=f"https://{UNRESOLVED}", **hanging_resolver(tmp_path))
    began_at = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began_at < 10
