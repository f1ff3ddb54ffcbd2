"""Guessing is limited: on all servers together, whatever a client says of its address, and nobody is locked out."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.database import Database
from tests.support.problems import assert_problem
from tests.support.server import Service, serve
from tests.support.users import PASSWORD, User, sign_up


@pytest.fixture(scope="module")
def pods(own_database: Database) -> Iterator[tuple[Service, Service]]:
    """Two on one database, behind one trusted proxy."""
    with serve(own_database.url, TRUSTED_PROXIES="1") as first, serve(own_database.url, TRUSTED_PROXIES="1") as second:
        yield first, second


@pytest.fixture
def servers(pods: tuple[Service, Service], own_database: Database) -> tuple[Service, Service]:
    """The pods, which know of nobody's guesses yet: they keep all of those in the database."""
    own_database.query("DELETE FROM rate_limits")
    return pods


@pytest.fixture
def owner(servers: tuple[Service, Service]) -> Iterator[User]:
    with sign_up(servers[0].url) as user:
        yield user


def log_in(server: Service, email: str, password: str = "wrong", forwarded: str | None = None) -> httpx.Response:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return httpx.post(
        f"{server.url}/api/auth/login", json={"email": email, "password": password}, headers=headers, verify=False
    )


def test_the_eleventh_guess_in_a_minute_is_refused_on_all_servers_together(
    servers: tuple[Service, Service], owner: User
) -> None:
    for attempt in range(10):
        answer = log_in(servers[attempt % 2], owner.email)
        assert_problem(answer, 401, "bad_credentials")
        assert answer.headers["ratelimit-policy"] == '"login";q=10;w=60'
        assert answer.headers["ratelimit"].startswith(f'"login";r={9 - attempt};t=')
    for server in servers:
        refused = log_in(server, owner.email, PASSWORD)
        assert_problem(refused, 429, "too_many_requests")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"] == f'"login";r=0;t={refused.headers["retry-after"]}'


def test_the_owner_gets_in_from_elsewhere_and_the_guesser_cannot_pretend_to_be_elsewhere(
    servers: tuple[Service, Service], owner: User
) -> None:
    for _ in range(10):
        log_in(servers[0], owner.email, forwarded="203.0.113.7")
    spoofed = log_in(servers[0], owner.email, forwarded="198.51.100.1, 203.0.113.7")
    assert_problem(spoofed, 429, "too_many_requests")  # what counts is what the proxy itself has added
    assert log_in(servers[1], owner.email, PASSWORD, forwarded="192.0.2.9").status_code == 200


SAME = [
    ["203.0.113.5:40001", "203.0.113.5:40002", "203.0.113.5", '"203.0.113.5:1"', "::ffff:203.0.113.5"],
    ["[2001:db8::1]:443", "[2001:DB8::1]:444", "2001:db8:0:0::1", '"[2001:db8::2]"', "2001:db8::ffff%eth0"],
]


@pytest.mark.parametrize("spellings", SAME)
def test_however_an_address_is_written_it_is_the_same_client(
    servers: tuple[Service, Service], owner: User, spellings: list[str]
) -> None:
    for number in range(10):
        log_in(servers[number % 2], owner.email, forwarded=spellings[number % 5])
    for spelling in spellings:
        assert_problem(log_in(servers[0], owner.email, forwarded=f"192.0.2.1, {spelling}"), 429, "too_many_requests")
    assert log_in(servers[0], owner.email, PASSWORD, forwarded="203.0.113.6:40001").status_code == 200


def test_nothing_that_a_client_can_send_makes_it_another(servers: tuple[Service, Service], owner: User) -> None:
    """Its own lines come before the proxy's; `unknown` is nobody in particular, and a proxy's word for all of them."""
    for number in range(10):
        lines = [("X-Forwarded-For", f"198.51.100.{number}"), ("X-Forwarded-For", "203.0.113.7")]
        others = {"Forwarded": f"for=198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"}
        body = {"email": owner.email, "password": "wrong"}
        httpx.post(f"{servers[0].url}/api/auth/login", json=body, headers=[*lines, *others.items()], verify=False)
    assert_problem(log_in(servers[0], owner.email, forwarded="203.0.113.7"), 429, "too_many_requests")
    answers = [log_in(servers[1], owner.email, forwarded=f"unknown, _{number}").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]


def test_with_two_proxies_the_outer_ones_word_counts(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    server = start_service(fresh_database.url, TRUSTED_PROXIES="2")
    forwarded = [f"198.51.100.{number}, 203.0.113.7:{number}, 10.0.0.{number}" for number in range(11)]
    answers = [log_in(server, "ada@example.com", forwarded=each).status_code for each in forwarded]
    assert answers == [401] * 10 + [429]
    # A header that is shorter has not come through both: then the peer counts, whatever it says.
    answers = [log_in(server, "ada@example.com", forwarded=f"198.51.100.{n}").status_code for n in range(11)]
    assert answers == [401] * 10 + [429]


def test_without_a_trusted_proxy_the_header_counts_for_nothing(service: Service, user: User) -> None:
    answers = [log_in(service, user.email, forwarded=f"203.0.113.{n}").status_code for n in range(11)]
    assert answers == [401] * 10 + [429]


def test_successful_logins_are_no_guesses(service: Service, user: User) -> None:
    answers = {log_in(service, user.email, PASSWORD).status_code for _ in range(12)}
    assert answers == {200}


def test_an_unknown_account_is_limited_like_any_other(service: Service) -> None:
    answers = [log_in(service, "nobody-at-all@example.com").status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]


def test_the_window_slides(servers: tuple[Service, Service], owner: User, own_database: Database) -> None:
    for _ in range(10):
        log_in(servers[0], owner.email)
    older = "UPDATE rate_limits SET hits = (SELECT array_agg(h - make_interval(secs => 61)) FROM unnest(hits) h)"
    own_database.query(older)
    assert_problem(log_in(servers[0], owner.email), 401, "bad_credentials")


def test_neither_address_nor_email_is_kept(
    servers: tuple[Service, Service], owner: User, own_database: Database
) -> None:
    log_in(servers[0], owner.email, forwarded="203.0.113.7")
    kept = str([dict(row) for row in own_database.query("SELECT * FROM rate_limits")])
    assert "login:" in kept
    assert owner.email not in kept
    assert "203.0.113" not in kept


def test_guessing_the_current_password_is_limited_too(user: User) -> None:
    body = {"current_password": "wrong", "new_password": PASSWORD}
    answers = [user.http.put("/api/auth/password", json=body).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]


def test_signups_from_one_address_are_limited(fresh_database: Database, start_service: Callable[..., Service]) -> None:
    server = start_service(fresh_database.url, SIGNUPS_PER_ADDRESS_PER_MINUTE="2")
    bodies = [{"email": f"new-{n}@example.com", "password": PASSWORD} for n in range(3)]
    answers = [httpx.post(f"{server.url}/api/auth/signup", json=body, verify=False) for body in bodies]
    assert [answer.status_code for answer in answers[:2]] == [201, 201]
    assert_problem(answers[2], 429, "too_many_requests")
    assert fresh_database.value("SELECT count(*) FROM users") == 2
