"""Which requests are read while the service is at capacity: the others are queued unread, and refused at a timeout.

To read and refuse a request takes a good part of what it takes to serve one. Were all of them read, the refused would
take the processor from the others, and each would wait longer until nobody was served in time. So no more are read than
may wait for the pool. The rest stays in the buffers of their connections, where a request costs next to nothing; those
that reach their timeout are refused, the plain ones without being parsed.

Whose a request is, nobody knows before it is read. But who was last served on its connection is a good guess, so users
take turns: one with a hundred connections delays the next user by one request, not by a hundred.
"""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sized
from functools import lru_cache
from time import monotonic
from typing import Protocol

from service import problems
from service.http.requests import FIELD, REQUEST_ID, new_request_id
from service.http.responses import http_date, problem_response

CHECK_SECONDS = 0.02
"""Between two checks of the queue for requests that have reached their timeout."""

# Ends with its head, and asks for nothing that only the parsed path can do: to close the connection, another version of
# HTTP, an answer that another origin may read.
_PLAIN = re.compile(
    rb"(?!HEAD )([A-Z]+) [^\s]+ HTTP/1\.1"
    rb"(?:\r\n(?!(?i:content-length|expect|origin|transfer-encoding|upgrade):)"
    rb"(?!(?i:connection):(?![ \t]*(?i:keep-alive)\r))%b)*\r\n\r\n" % FIELD
)
_REQUEST_ID = re.compile(rb"\r\n(?i:x-request-id):[ \t]*(%b)[ \t]*\r\n" % REQUEST_ID)
_ANY_ID = "?" * 32


class Caller(Protocol):
    """A connection with a request, or with the beginning of one."""

    user: str | None
    """Who was last served on it, if anybody."""

    def admit(self, waited: float) -> bool:
        """Read the request; False if the client has left. `waited` is in seconds."""
        ...

    def refuse(self, waited: float) -> None: ...


class _Queued:
    __slots__ = ("caller", "since", "user")

    def __init__(self, caller: Caller) -> None:
        self.caller: Caller | None = caller
        """None once it has been admitted."""

        self.user = caller.user
        self.since = monotonic()


class Admission:
    """`capacity` is how many may wait for the pool once they are read, `timeout_seconds` how long to be read.

    A connection beyond `connections_max` is refused: whoever is refused a request on a connection that stays may send
    the next one at once, so that the connections decide how many refusals there can be.
    """

    def __init__(
        self, *, waiting: Callable[[], int], capacity: int, timeout_seconds: float, connections_max: int
    ) -> None:
        self._waiting = waiting
        self._capacity = capacity
        self.timeout_seconds = timeout_seconds
        self._connections_max = connections_max
        self._size = 0
        self._queue: deque[_Queued] = deque()  # by age; also those that have been admitted since
        self._by_user: OrderedDict[str | None, deque[_Queued]] = OrderedDict()  # whose turn it is first
        self._entering = 0  # admitted, but not yet counted as waiting for the pool
        self._timer_is_set = False
        self._any_left = False  # since the last check
        self._ended = False

    def room(self, connections: Sized) -> int:
        """How many more connections there may be beside these."""
        return self._connections_max - len(connections)

    def queued(self) -> int:
        return self._size

    def admits(self) -> bool:
        """Whether a request may be read at once."""
        if self._ended:
            return True
        if self._size or self._free() <= 0:
            return False
        self._count()
        return True

    def enqueue(self, caller: Caller) -> None:
        """Sooner or later the caller is admitted or refused."""
        queued = _Queued(caller)
        self._size += 1
        self._queue.append(queued)
        self._by_user.setdefault(queued.user, deque()).append(queued)
        if not self._timer_is_set:
            self._timer_is_set = True
            asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def left(self) -> None:
        """A request has ended: as many are admitted as keep the pool's queue from running empty."""
        self._any_left = True
        if self._size:
            free = self._free()
            self._admit(min(free, 1 if free < self._capacity / 2 else 2))

    def end(self) -> None:
        """Admit everything, from now on too: what was sent before a shutdown is still answered."""
        self._ended = True
        self._admit(self._size)

    def _free(self) -> int:
        return self._capacity - self._waiting() - self._entering

    def _count(self) -> None:
        if not self._entering:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._entered)
        self._entering += 1

    def _entered(self) -> None:
        """The loop has made one turn: what was admitted is counted where it waits, or has nothing to wait for."""
        self._entering = 0

    def _admit(self, count: int) -> None:
        self._refuse_overdue()
        now = monotonic()
        while count > 0 and self._size:
            user = next(iter(self._by_user))
            queued = self._by_user[user][0]
            caller = self._take(queued)
            if user in self._by_user:
                self._by_user.move_to_end(user)
            if caller.admit(now - queued.since):
                self._count()
                count -= 1

    def _refuse_overdue(self) -> None:
        now = monotonic()
        while self._queue and (self._queue[0].caller is None or now - self._queue[0].since >= self.timeout_seconds):
            queued = self._queue.popleft()
            if queued.caller is not None:
                self._take(queued).refuse(now - queued.since)

    def _take(self, queued: _Queued) -> Caller:
        """It is the oldest of its user's: those before it have been taken."""
        caller, queued.caller = queued.caller, None
        assert caller is not None  # noqa: S101  it is taken once
        queue = self._by_user[queued.user]
        queue.popleft()
        if not queue:
            del self._by_user[queued.user]
        self._size -= 1
        return caller

    def _check(self) -> None:
        self._refuse_overdue()
        if not self._any_left:  # those that were read wait for something other than the database, or there are none
            self._admit(self._free())
        self._any_left = False
        self._timer_is_set = bool(self._size)
        if self._timer_is_set:
            asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)


def refusal(request: bytes | bytearray) -> tuple[str, str, bytes] | None:
    """The method, the id and the answer of a plain request; None for one that has to be parsed to be refused."""
    plain = _PLAIN.fullmatch(request)
    if plain is None:
        return None
    given = _REQUEST_ID.search(request)
    if given is None:
        request_id = new_request_id()
        answer = _template(http_date()).replace(_ANY_ID.encode(), request_id.encode())
    else:
        request_id = given[1].decode()
        answer = _answer(request_id)
    return plain[1].decode(), request_id, answer


def _answer(request_id: str) -> bytes:
    answer = problem_response(problems.Overloaded(), request_id)
    return answer.head(request_id, keep_alive=True) + (answer.body or b"")


@lru_cache(maxsize=1)
def _template(_date: str) -> bytes:
    return _answer(_ANY_ID)
