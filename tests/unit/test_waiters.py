"""The queue for a connection, apart from the pool: who is served, who is passed over, and whose time is up."""

import asyncio
from typing import cast

import pytest

from service.database.connection import Connection
from service.database.waiters import TIMER_SLACK_SECONDS, Waiters
from service.problems import DatabaseUnavailable, PoolExhausted

LONG_SECONDS = 60.0


def connection() -> Connection:
    return cast(Connection, object())  # the queue only hands it over


async def test_whoever_came_first_is_served_first() -> None:
    waiters = Waiters()
    first, second = waiters.join(LONG_SECONDS), waiters.join(LONG_SECONDS)
    one, other = connection(), connection()
    assert waiters.serve(one)
    assert waiters.serve(other)
    assert (await first, await second) == (one, other)
    assert not waiters.serve(connection())


async def test_whoever_was_cancelled_or_left_is_passed_over() -> None:
    waiters = Waiters()
    cancelled, left, last = (waiters.join(LONG_SECONDS) for _ in range(3))
    cancelled.cancel()
    waiters.leave(left)
    assert len(waiters) == 2, "the cancelled one has not left yet"
    given = connection()
    assert waiters.serve(given)
    assert await last is given
    assert len(waiters) == 0


async def test_each_waits_until_its_own_deadline() -> None:
    """Whoever has waited for admission already has less time left than those before it."""
    waiters = Waiters()
    long, short, over = waiters.join(LONG_SECONDS), waiters.join(TIMER_SLACK_SECONDS), waiters.join(-1.0)
    for waiter in (over, short):
        with pytest.raises(PoolExhausted):
            await waiter
    assert not long.done()
    assert len(waiters) == 1


async def test_all_hear_that_there_is_no_database() -> None:
    waiters = Waiters()
    waiting = [waiters.join(LONG_SECONDS) for _ in range(3)]
    waiters.refuse_all()
    assert [type(answer) for answer in await asyncio.gather(*waiting, return_exceptions=True)] == [
        DatabaseUnavailable
    ] * 3
    assert len(waiters) == 0
