"""Who is let in while the service does all it can: the others wait outside, unread, and are refused in time.

To read and refuse a request takes a good part of what it takes to serve one. Were all of them read, the refused would
take the processor from the others, and each would wait longer until nobody was served in time. So no more come in than
there is room for in the pool's queue. The rest stays in the buffers of their connections, where a request costs next to
nothing, first come, first served; those whose time is up are refused, the plain ones without being parsed.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Protocol

from service import problems
from service.http.requests import FIELD, REQUEST_ID, new_request_id
from service.http.responses import http_date, problem_response

LOOK_SECONDS = 0.02
"""Between two looks at who has waited for too long."""

# Ends with its head, and asks for nothing that it takes the whole service to give: to hang up, another version of HTTP,
# an answer that another origin may read.
_PLAIN = re.compile(
    rb"(?!HEAD )([A-Z]+) [^\s]+ HTTP/1\.1"
    rb"(?:\r\n(?!(?i:content-length|expect|origin|transfer-encoding|upgrade):)"
    rb"(?!(?i:connection):(?![ \t]*(?i:keep-alive)\r))%b)*\r\n\r\n" % FIELD
)
_REQUEST_ID = re.compile(rb"\r\n(?i:x-request-id):[ \t]*(%b)[ \t]*\r\n" % REQUEST_ID)
_ANY_ID = "?" * 32


class Caller(Protocol):
    """A connection with a request, or with the beginning of one."""

    def admit(self, waited: float) -> bool:
        """Read the request; False if the client has left. `waited` is in seconds."""
        ...

    def refuse(self, waited: float) -> None: ...


class Admission:
    """`room` is how many may wait for a connection of the pool, `patience` how long for one's turn, in seconds."""

    def __init__(self, *, waiting: Callable[[], int], room: int, patience: float) -> None:
        self._waiting = waiting
        self._room = room
        self.patience = patience
        self._held: deque[tuple[float, Caller]] = deque()
        self._coming = 0  # let in, but not yet among those who wait
        self._looks = False
        self._moves = False  # since the last look
        self._ended = False

    def held(self) -> int:
        return len(self._held)

    def admits(self) -> bool:
        """Whether a request may come in at once."""
        if self._ended:
            return True
        if self._held or self._free() <= 0:
            return False
        self._count()
        return True

    def hold(self, caller: Caller) -> None:
        """Keep the caller waiting; sooner or later it is admitted or refused."""
        self._held.append((monotonic(), caller))
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def left(self) -> None:
        """A request has ended: as many come in as keep the pool's queue from running empty."""
        self._moves = True
        if self._held:
            free = self._free()
            self._admit(min(free, 1 if free < self._room / 2 else 2))

    def end(self) -> None:
        """Let everybody in, from now on too: who is on this side of a shutdown is still answered."""
        self._ended = True
        self._admit(len(self._held))

    def _free(self) -> int:
        return self._room - self._waiting() - self._coming

    def _count(self) -> None:
        if not self._coming:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._came)
        self._coming += 1

    def _came(self) -> None:
        """The loop has been round once: whoever was let in waits where it is counted, or has nothing to wait for."""
        self._coming = 0

    def _admit(self, count: int) -> None:
        now = monotonic()
        while count > 0 and self._held:
            since, caller = self._held.popleft()
            if now - since >= self.patience:
                caller.refuse(now - since)
            elif caller.admit(now - since):
                self._count()
                count -= 1

    def _look(self) -> None:
        now = monotonic()
        while self._held and now - self._held[0][0] >= self.patience:
            since, caller = self._held.popleft()
            caller.refuse(now - since)
        if not self._moves:  # whoever is inside is at something else than the database, or there is nobody
            self._admit(self._free())
        self._moves = False
        self._looks = bool(self._held)
        if self._looks:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)


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
