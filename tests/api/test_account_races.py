"""Every pair of account operations at the same time, on the same account: whatever wins, what has ended is over."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from argon2 import PasswordHasher

from service.accounts.passwords import MEMORY_KIB
from tests.support.database import Database, held
from tests.support.drill import eventually, pick, report
from tests.support.server import Service
from tests.support.users import PASSWORD, User, client, new_email, sign_up

ROUNDS = pick(1, 200)
NEW_PASSWORD = "another correct horse"
OTHER_PASSWORD = "whoever signs up again"
TOOK = {"sign up": 0.05, "log in": 0.05, "change password": 0.1}
"""How long operations with a password took last: most of it passes before they reach their transaction."""

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tasks-service'"
    " AND wait_event_type = 'Lock'"
)


class Account:
    """Somebody with two sessions: one that changes the password or deletes the account, and one elsewhere."""

    def __init__(self, service: Service) -> None:
        self.user: User = sign_up(service.url)
        with client(service.url) as visitor:
            self.elsewhere: str = self.log_in(visitor).json()["refresh_token"]

    def credentials(self, password: str = PASSWORD) -> dict[str, str]:
        return {"email": self.user.email, "password": password}

    def log_in(self, visitor: httpx.Client, password: str = PASSWORD) -> httpx.Response:
        return visitor.post("/api/auth/login", json=self.credentials(password))

    def sign_up_again(self, visitor: httpx.Client) -> httpx.Response:
        return visitor.post("/api/auth/signup", json=self.credentials(OTHER_PASSWORD))

    def refresh(self, visitor: httpx.Client) -> httpx.Response:
        return refresh(visitor, self.elsewhere)

    def log_out(self, visitor: httpx.Client) -> httpx.Response:
        return visitor.post("/api/auth/logout", json={"refresh_token": self.elsewhere})

    def change_password(self, visitor: httpx.Client) -> httpx.Response:
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        return visitor.put("/api/auth/password", json=body, headers=self.authorization)

    def delete(self, visitor: httpx.Client) -> httpx.Response:
        return visitor.delete("/api/auth/me", headers=self.authorization)

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.user.token}"}


Operation = Callable[[Account, httpx.Client], httpx.Response]
OPERATIONS: dict[str, Operation] = {
    "sign up": Account.sign_up_again,
    "log in": Account.log_in,
    "refresh": Account.refresh,
    "log out": Account.log_out,
    "change password": Account.change_password,
    "delete": Account.delete,
}
PAIRS = list(itertools.combinations_with_replacement(OPERATIONS, 2))


@dataclass
class Outcome:
    """What both operations were answered, by their names."""

    answers: dict[str, list[httpx.Response]] = field(default_factory=dict)

    def statuses(self, name: str) -> list[int]:
        return sorted(answer.status_code for answer in self.answers.get(name, []))

    def done(self, name: str) -> bool:
        return any(status < 300 for status in self.statuses(name))

    def tokens(self, name: str) -> list[str]:
        return [a.json()["refresh_token"] for a in self.answers.get(name, []) if a.status_code in (200, 201)]


def refresh(visitor: httpx.Client, token: str) -> httpx.Response:
    return visitor.post("/api/auth/refresh", json={"refresh_token": token})


@pytest.fixture
def racers(service: Service) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two connections that are open already."""
    with client(service.url) as first, client(service.url) as second:
        for racer in (first, second):
            assert racer.get("/.well-known/jwks.json").status_code == 200
        yield first, second


@pytest.fixture(scope="module")
def service(database: Database) -> Iterator[Service]:
    """One that lets everybody guess, and sign up."""
    running = Service(
        database.url,
        {
            "LOGIN_ATTEMPTS_PER_MINUTE": "100000",
            "FAILED_LOGINS_PER_ADDRESS_PER_MINUTE": "100000",
            "SIGNUPS_PER_ADDRESS_PER_MINUTE": "100000",
        },
    )
    running.start()
    yield running
    running.stop()


def race(account: Account, pair: tuple[str, str], racers: tuple[httpx.Client, httpx.Client]) -> Outcome:
    gate = threading.Barrier(2)

    def run(name: str, racer: httpx.Client, delay: float) -> httpx.Response:
        gate.wait(10)
        time.sleep(delay)
        return OPERATIONS[name](account, racer)

    delays = [
        random.uniform(0, max(TOOK.get(other, 0.002) - TOOK.get(name, 0), 0.002))
        for name, other in zip(pair, pair[::-1], strict=True)
    ]
    outcome = Outcome()
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(run, pair, racers, delays))
    for name, answer in zip(pair, answers, strict=True):
        outcome.answers.setdefault(name, []).append(answer)
        if name in TOOK:
            TOOK[name] = answer.elapsed.total_seconds()
    return outcome


def assert_answers_are_possible(outcome: Outcome) -> None:
    """Each either did its work or was told so by a 401 or 409 for which the other one is the reason."""
    ended, changed, out = (outcome.done(name) for name in ("delete", "change password", "log out"))
    reasons = {
        "sign up": {201} if ended else set(),
        "log in": {401} if ended or changed else set(),
        "refresh": {401} if ended or changed or out else set(),
        "log out": set(),
        "change password": {401} if ended or changed else set(),
        "delete": {401} if ended else set(),
    }
    usual = {"sign up": 409, "log in": 200, "refresh": 200, "log out": 204, "change password": 204, "delete": 204}
    for name, answers in outcome.answers.items():
        for answer in answers:
            assert answer.status_code in {usual[name], *reasons[name]}, (name, answer.status_code, answer.text)
    for once in ("delete", "change password"):
        assert outcome.statuses(once) in ([], [204], [204, 401], [401])
    assert outcome.statuses("sign up").count(201) <= 1


def assert_what_ended_is_over(account: Account, outcome: Outcome, visitor: httpx.Client, database: Database) -> None:
    ended, changed, out = (outcome.done(name) for name in ("delete", "change password", "log out"))
    signed_up_again = outcome.tokens("sign up")

    def works(token: str) -> bool:
        answer = refresh(visitor, token)
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200

    assert visitor.get("/api/auth/me", headers=account.authorization).status_code == (401 if ended else 200)
    assert works(account.user.refresh_token) is not ended
    for token in outcome.tokens("log in"):
        assert works(token) is not (ended or changed)
    for token in outcome.tokens("refresh") or [account.elsewhere]:
        assert works(token) is not (ended or changed or out)
    if ended or changed or out:
        assert not works(account.elsewhere)
    for token in signed_up_again:
        assert works(token)
    passwords = {PASSWORD: not (ended or changed), NEW_PASSWORD: changed and not ended, OTHER_PASSWORD: signed_up_again}
    for password, right in passwords.items():
        assert account.log_in(visitor, password).status_code == (200 if right else 401), password
    if ended:
        left = "SELECT count(*) FROM refresh_tokens WHERE user_id = $1 AND used_at IS NULL"
        assert database.value(left, UUID(account.user.id)) == 0


@pytest.mark.drill
@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_two_at_the_same_time_leave_what_one_after_the_other_could_have(
    service: Service, database: Database, racers: tuple[httpx.Client, httpx.Client], pair: tuple[str, str]
) -> None:
    seen: Counter[str] = Counter()
    for _ in range(ROUNDS):
        account = Account(service)
        outcome = race(account, pair, racers)
        assert_answers_are_possible(outcome)
        assert_what_ended_is_over(account, outcome, racers[0], database)
        seen[" ".join(f"{name} {outcome.statuses(name)}" for name in outcome.answers)] += 1
        account.user.http.close()
    report(f"promise 20, {' + '.join(pair)}", rounds=ROUNDS, **seen)


def wait_for_waiters(database: Database, count: int) -> None:
    eventually(lambda: database.value(WAITING) == count, within_seconds=1.5)


LOCKING = [name for name in OPERATIONS if name != "sign up"]


@pytest.mark.parametrize("order", list(itertools.product(LOCKING, repeat=2)), ids="+".join)
def test_both_wait_for_the_users_row_and_the_second_sees_what_the_first_has_done(
    service: Service, database: Database, racers: tuple[httpx.Client, httpx.Client], order: tuple[str, str]
) -> None:
    account = Account(service)
    outcome = Outcome()
    with ThreadPoolExecutor(2) as threads:
        with held(database.url, f"BEGIN; SELECT FROM users WHERE id = '{account.user.id}' FOR UPDATE"):
            under_way = []
            for name, racer in zip(order, racers, strict=True):
                under_way.append(threads.submit(OPERATIONS[name], account, racer))
                wait_for_waiters(database, len(under_way))
        for name, answer in zip(order, under_way, strict=True):
            outcome.answers.setdefault(name, []).append(answer.result())
    assert_answers_are_possible(outcome)
    assert outcome.answers[order[0]][0].status_code < 300, "the first in the queue was served first"
    assert_what_ended_is_over(account, outcome, racers[0], database)
    account.user.http.close()


@pytest.mark.drill
@pytest.mark.parametrize("ending", ["log out", "change password", "delete"])
def test_a_thief_who_keeps_rotating_is_out_as_soon_as_it_is_answered(
    service: Service, racers: tuple[httpx.Client, httpx.Client], ending: str
) -> None:
    rounds, rotations = pick(2, 200), 0
    for _ in range(rounds):
        account, over = Account(service), threading.Event()

        def rotate_on(account: Account = account, over: threading.Event = over) -> tuple[int, int]:
            """Returns how often it worked, and how often it did after the session had ended."""
            token, worked, afterwards = account.elsewhere, 0, 0
            while True:
                ended = over.is_set()
                answer = refresh(racers[1], token)
                assert answer.status_code in (200, 401), answer.text
                if answer.status_code == 401:
                    return worked, afterwards
                token, worked, afterwards = answer.json()["refresh_token"], worked + 1, afterwards + ended
                if afterwards > 3:
                    return worked, afterwards

        with ThreadPoolExecutor(1) as thread:
            thief = thread.submit(rotate_on)
            time.sleep(random.uniform(0, 0.02))
            assert OPERATIONS[ending](account, racers[0]).status_code == 204
            over.set()
            worked, afterwards = thief.result()
        assert afterwards == 0
        rotations += worked
        account.user.http.close()
    report(f"promise 20, a thief who rotates and {ending}", rounds=rounds, rotations=rotations)


def test_two_logins_that_both_renew_an_old_hash_both_succeed(
    service: Service, racers: tuple[httpx.Client, httpx.Client], database: Database
) -> None:
    """The second finds another hash than the one it has verified, of the same password."""
    account = Account(service)
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database.query("UPDATE users SET password_hash = $2 WHERE id = $1", UUID(account.user.id), old)
    with ThreadPoolExecutor(2) as threads:
        with held(database.url, f"BEGIN; SELECT FROM users WHERE id = '{account.user.id}' FOR UPDATE"):
            under_way = [threads.submit(account.log_in, racer) for racer in racers]
            wait_for_waiters(database, 2)
        assert [login.result().status_code for login in under_way] == [200, 200]
    renewed = database.value("SELECT password_hash FROM users WHERE id = $1", UUID(account.user.id))
    assert not PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1).check_needs_rehash(renewed)
    account.user.http.close()


def test_two_who_sign_up_with_one_email_get_one_account(
    service: Service, racers: tuple[httpx.Client, httpx.Client], database: Database
) -> None:
    for _ in range(ROUNDS):
        email = new_email()

        def run(racer: httpx.Client, password: str, email: str = email) -> httpx.Response:
            return racer.post("/api/auth/signup", json={"email": email, "password": password})

        passwords = [PASSWORD, OTHER_PASSWORD]
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(run, racers, passwords))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
        for answer, password in zip(answers, passwords, strict=True):
            login = racers[0].post("/api/auth/login", json={"email": email, "password": password})
            assert login.status_code == (200 if answer.status_code == 201 else 401)
        assert database.value("SELECT count(*) FROM users WHERE email = $1", email) == 1
