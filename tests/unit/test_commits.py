"""When writes are refused because commits stay without an answer."""

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest

from service.database import commits
from service.database.commits import Commits
from service.problems import DatabaseSlow


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(commits, "monotonic", clock)
    return clock


def accepted(breaker: Commits) -> bool:
    try:
        breaker.check()
    except DatabaseSlow:
        return False
    return True


def test_a_few_commits_without_an_answer_stop_nobody(clock: Clock) -> None:
    breaker = Commits(2)
    breaker.unanswered()
    assert accepted(breaker)
    breaker.unanswered()
    assert not accepted(breaker)


def test_writes_are_tried_ever_less_often_until_one_is_answered(clock: Clock) -> None:
    breaker = Commits(1)
    breaker.unanswered()
    tried = []
    for _ in range(600):
        clock.now += 0.1
        if accepted(breaker):
            breaker.unanswered()
            tried.append(round(clock.now - 1000))
    assert tried[:5] == [1, 2, 4, 8, 16]
    assert max(later - earlier for earlier, later in pairwise(tried)) <= 11
    breaker.reset()
    assert accepted(breaker)
    breaker.unanswered()
    clock.now += 1
    assert accepted(breaker), "the pauses begin anew"


def opened(clock: Clock) -> Commits:
    """Refuses writes, and its first pause is over."""
    breaker = Commits(1)
    breaker.unanswered()
    clock.now += commits.FIRST_PAUSE_SECONDS
    return breaker


def fail(breaker: Commits, error: BaseException, *, sent: bool) -> None:
    with suppress(type(error)), breaker.attempt() as attempt:
        attempt.sent = sent
        raise error


def test_a_try_with_nothing_to_commit_is_not_the_last_for_now(clock: Clock) -> None:
    """Where most writes are logins, or find nothing, chance alone would decide when all are let through again."""
    breaker = opened(clock)
    for _ in range(5):
        with breaker.attempt() as attempt:
            attempt.sent = True  # and answered, but nothing was written
    fail(breaker, LookupError(), sent=True)
    fail(breaker, LookupError(), sent=False)
    fail(breaker, asyncio.CancelledError(), sent=False)
    with breaker.attempt() as attempt:
        assert not accepted(breaker), "one at a time"
        attempt.sent = attempt.wrote = True
    assert all(accepted(breaker) for _ in range(3))


@pytest.mark.parametrize("error", [TimeoutError(), asyncio.CancelledError()])
def test_a_try_that_was_given_up_may_yet_stay_without_an_answer(clock: Clock, error: BaseException) -> None:
    breaker = opened(clock)
    fail(breaker, error, sent=True)
    assert not accepted(breaker)


def test_what_was_under_way_before_lets_nobody_through(clock: Clock) -> None:
    breaker = Commits(1)
    with breaker.attempt() as attempt:
        attempt.sent = True
        breaker.unanswered()
    assert not accepted(breaker)
