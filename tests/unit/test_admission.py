"""Admission: who comes in, in which order, and who is told to come again."""

import asyncio
from collections.abc import Callable

import pytest

from service.http.admission import CHECK_SECONDS, Admission, refusal

TIMEOUT = 0.2
HEAD = b"GET /api/x/tasks HTTP/1.1\r\nHost: tasks.example\r\n"


class Caller:
    def __init__(self, fate: list[str], name: str, *, user: str | None = None, gone: bool = False) -> None:
        self._fate, self._name, self._gone = fate, name, gone
        self.user = user

    def admit(self, waited: float) -> bool:
        assert waited < TIMEOUT
        self._fate.append(f"{self._name} gone" if self._gone else f"{self._name} in")
        return not self._gone

    def refuse(self, waited: float) -> None:
        assert waited >= TIMEOUT
        self._fate.append(f"{self._name} refused")


@pytest.fixture
def fate() -> list[str]:
    return []


def admission(waiting: Callable[[], int], capacity: int = 4) -> Admission:
    return Admission(waiting=waiting, capacity=capacity, timeout_seconds=TIMEOUT, connections_max=100)


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_requests_of_one_moment_are_counted_before_they_wait() -> None:
    """All that arrive in one turn of the loop are seen before the first of them has got as far as the queue."""
    door = admission(lambda: 0)
    assert [door.admits() for _ in range(6)] == [True] * 4 + [False] * 2
    await settled()
    assert door.admits(), "those never waited, or do no more"


async def test_nobody_overtakes_and_each_that_leaves_lets_one_in(fate: list[str]) -> None:
    waiting = 4
    door = admission(lambda: waiting)
    assert not door.admits()
    for name in "abcd":
        door.enqueue(Caller(fate, name))
    door.left()
    assert fate == [], "the queue is as long as before"
    waiting = 3
    assert not door.admits(), "others have come before"
    door.left()
    assert fate == ["a in"]
    await settled()
    waiting = 0
    door.left()
    assert fate == ["a in", "b in", "c in"], "the queue runs empty: two for one"
    assert door.queued() == 1


async def test_those_who_left_take_no_place(fate: list[str]) -> None:
    waiting = 3
    door = admission(lambda: waiting)
    door.enqueue(Caller(fate, "a", gone=True))
    door.enqueue(Caller(fate, "b"))
    door.left()
    assert fate == ["a gone", "b in"]


async def test_who_has_waited_long_enough_is_refused_even_if_nothing_moves(fate: list[str]) -> None:
    door = admission(lambda: 4)
    door.enqueue(Caller(fate, "a"))
    await asyncio.sleep(TIMEOUT + 3 * CHECK_SECONDS)
    assert fate == ["a refused"]
    assert door.queued() == 0


async def test_when_all_inside_have_gone_the_rest_comes_in_by_itself(fate: list[str]) -> None:
    waiting = 4
    door = admission(lambda: waiting)
    for name in "abcdef":
        door.enqueue(Caller(fate, name))
    waiting = 0
    async with asyncio.timeout(TIMEOUT):
        while door.queued():  # noqa: ASYNC110  it is the timer itself that is waited for
            await asyncio.sleep(CHECK_SECONDS / 4)
    assert fate == [f"{name} in" for name in "abcdef"]


async def test_users_take_turns_and_those_unknown_are_one_of_them(fate: list[str]) -> None:
    waiting = 4
    door = admission(lambda: waiting)
    callers = [("a", "ada"), ("b", "ada"), ("c", "ada"), ("d", None), ("e", "bob"), ("f", "ada"), ("g", None)]
    for name, user in callers:
        door.enqueue(Caller(fate, name, user=user))
    for left in range(len(callers), 0, -1):
        assert door.queued() == left
        waiting = 3
        door.left()
        await settled()
    assert [line[0] for line in fate] == ["a", "d", "e", "b", "g", "c", "f"]
    assert door.queued() == 0
    assert not door._by_user


async def test_a_wait_without_end_leaves_nothing_behind(fate: list[str]) -> None:
    door = admission(lambda: 4)
    for number in range(50):
        door.enqueue(Caller(fate, str(number), user=str(number % 3)))
    await asyncio.sleep(TIMEOUT + 3 * CHECK_SECONDS)
    assert len(fate) == 50
    assert (door.queued(), len(door._by_user), len(door._queue)) == (0, 0, 0)


async def test_at_the_end_everybody_comes_in(fate: list[str]) -> None:
    door = admission(lambda: 4)
    for name in "ab":
        door.enqueue(Caller(fate, name))
    door.end()
    assert fate == ["a in", "b in"]
    assert door.admits()


def test_a_plain_request_is_refused_under_its_own_id() -> None:
    answered = refusal(HEAD + b"x-request-ID: client-7\r\nConnection: Keep-Alive\r\n\r\n")
    assert answered is not None
    method, request_id, answer = answered
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (method, request_id) == ("GET", "client-7")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
    assert b"X-Request-Id: client-7\r\n" in head
    assert b'"request_id":"client-7"' in body


def test_a_plain_request_without_a_sane_id_is_given_one() -> None:
    first, second = (refusal(HEAD + given + b"\r\n") for given in (b"", b"X-Request-Id: <not sane>\r\n"))
    assert first is not None
    assert second is not None
    assert first[1] != second[1]
    for _, request_id, answer in (first, second):
        assert len(request_id) == 32
        assert answer.count(request_id.encode()) == 2
        head, _, body = answer.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    "request_",
    [
        HEAD,
        HEAD + b"\r\n" + HEAD + b"\r\n",
        HEAD + b"\r\nX",
        HEAD + b"Content-Length: 5\r\n\r\n",
        HEAD + b"content-length:5\r\n\r\n",
        HEAD + b"Content-Length : 5\r\n\r\n",
        HEAD + b" folded: 1\r\n\r\n",
        HEAD + b"A: 1\nContent-Length: 5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"CONNECTION: close\r\n\r\n",
        HEAD + b"Connection: keep-alive, close\r\n\r\n",
        HEAD + b"Origin: https://elsewhere.example\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"",
    ],
)
def test_whatever_is_not_plain_has_to_be_parsed(request_: bytes) -> None:
    assert refusal(request_) is None
