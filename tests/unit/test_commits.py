"""When writes are refused because commits stay without an answer."""

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
