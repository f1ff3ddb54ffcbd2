"""A crowd that connects while the loop is busy is accepted within a few of its turns."""

import asyncio
import socket
from contextlib import ExitStack

import uvloop

from service.http.acceptor import AT_ONCE, Acceptor

CROWD = 10 * AT_ONCE


class Accepted(asyncio.Protocol):
    def __init__(self, acceptor: Acceptor, all_accepted: list[asyncio.BaseTransport]) -> None:
        self._acceptor = acceptor
        self._all = all_accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.append(transport)
        self._acceptor.accept_more()


async def turns_for_a_crowd(*, alone: bool, closed: bool) -> int:
    """How many turns of the loop it takes until everybody is accepted, 2,000 at the most."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0), backlog=CROWD)
    acceptor = Acceptor(listener)
    accepted: list[asyncio.BaseTransport] = []

    def new_protocol() -> Accepted:
        return Accepted(acceptor, accepted)

    acceptor.new_protocol = None if alone else new_protocol
    server = await loop.create_server(new_protocol, sock=listener, backlog=CROWD)
    with ExitStack() as clients:
        for _ in range(CROWD):  # the kernel takes them; the loop has not had a turn meanwhile
            clients.enter_context(socket.create_connection(listener.getsockname()))
        if closed:
            server.close()
            acceptor.accept_more()
        turns = 0
        while len(accepted) < CROWD and turns < 2000:
            await asyncio.sleep(0)
            turns += 1
    for transport in accepted:
        transport.close()
    server.close()
    await server.wait_closed()
    return turns


def turns(*, alone: bool = False, closed: bool = False) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(turns_for_a_crowd(alone=alone, closed=closed))


def test_many_are_accepted_in_a_turn() -> None:
    assert turns() < CROWD / 2


def test_libuv_alone_accepts_one_in_a_turn() -> None:
    """Once this fails, the acceptor is not needed any more."""
    assert turns(alone=True) >= CROWD


def test_nobody_is_accepted_once_the_server_is_closed() -> None:
    assert turns(closed=True) == 2000
