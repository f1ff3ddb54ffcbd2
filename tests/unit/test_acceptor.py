"""A crowd that connects while the loop is busy is accepted within a few of its turns."""

import asyncio
import socket
from contextlib import ExitStack

import uvloop

from service.http.acceptor import AT_ONCE, Acceptor, Server

CROWD = 10 * AT_ONCE
TURNS_MAX = 2000


class Accepted(asyncio.Protocol):
    def __init__(self, acceptor: Acceptor, all_accepted: list[asyncio.BaseTransport]) -> None:
        self._acceptor = acceptor
        self._all = all_accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.append(transport)
        self._acceptor.accept_more()


class Crowd:
    """CROWD clients that are connected before the loop has had a turn, and a server with room for some of them."""

    def __init__(self, *, room: int = CROWD, alone: bool = False) -> None:
        """`alone` leaves all to libuv."""
        self._room = room
        self._alone = alone
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=CROWD)
        self.acceptor = Acceptor(self._listener)
        self.accepted: list[asyncio.BaseTransport] = []
        self.refused = 0

    def come(self, *, to_a_closed_server: bool = False) -> int:
        """How many turns of the loop it takes until all are accepted or refused; TURNS_MAX when they never are."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._come(closed=to_a_closed_server))

    async def _come(self, *, closed: bool) -> int:
        server = await asyncio.get_running_loop().create_server(self._new, sock=self._listener, backlog=CROWD)
        if not self._alone:
            self.acceptor.server = Server(self._new, lambda: self._room - len(self.accepted), self._refuse)
        with ExitStack() as clients:
            for _ in range(CROWD):
                clients.enter_context(socket.create_connection(self._listener.getsockname()))
            if closed:
                server.close()
                self.acceptor.accept_more()
            turns = 0
            while len(self.accepted) + self.refused < CROWD and turns < TURNS_MAX:
                await asyncio.sleep(0)
                turns += 1
        for transport in self.accepted:
            transport.close()
        server.close()
        await server.wait_closed()
        return turns

    def _new(self) -> Accepted:
        return Accepted(self.acceptor, self.accepted)

    def _refuse(self) -> None:
        self.refused += 1


def test_many_are_accepted_in_a_turn() -> None:
    assert Crowd().come() < CROWD / 2


def test_libuv_alone_accepts_one_in_a_turn() -> None:
    """Once this fails, the acceptor is not needed any more."""
    assert Crowd(alone=True).come() >= CROWD


def test_those_for_whom_there_is_no_room_are_refused_as_soon() -> None:
    crowd = Crowd(room=AT_ONCE)
    assert crowd.come() < CROWD / 2
    # The first of each turn is libuv's, whose protocol would refuse it.
    assert len(crowd.accepted) < 3 * AT_ONCE
    assert crowd.refused > CROWD / 2


def test_nobody_is_accepted_once_the_server_is_closed() -> None:
    crowd = Crowd()
    assert crowd.come(to_a_closed_server=True) == TURNS_MAX
    assert crowd.accepted == []
