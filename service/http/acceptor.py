"""Connections are accepted many at a time.

libuv takes one connection in each turn of the loop. While the process is busy a turn takes milliseconds, so that some
300 are accepted a second: those of a crowd would wait in the kernel for many seconds, neither served nor refused.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

AT_ONCE = 16
"""In one turn of the loop: each takes 0.1 ms, which the requests under way wait for."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: what was sent is thrown away, and the client told so


@dataclass(frozen=True, slots=True)
class Server:
    """What a server that is running tells of itself."""

    new_protocol: Callable[[], asyncio.Protocol]
    room: Callable[[], int]
    """How many more connections it takes."""

    refused: Callable[[], None]
    """One was more than that."""


class Acceptor:
    def __init__(self, listener: socket.socket) -> None:
        """`listener` is the server's own."""
        self._listener = listener
        self.server: Server | None = None
        """None before its first connection."""

        self._ran_in_this_turn = False
        self._connecting: set[asyncio.Task[None]] = set()

    def accept_more(self) -> None:
        """For each new connection: where there is one, there may be others."""
        if self.server is None or self._ran_in_this_turn:
            return
        self._ran_in_this_turn = True
        asyncio.get_running_loop().call_soon(self._next_turn)
        with suppress(OSError):  # none is left, or there is no room for it, or the server listens no more
            for _ in range(AT_ONCE):
                connection, _ = self._listener.accept()
                self._connect(connection, self.server)

    def _connect(self, connection: socket.socket, server: Server) -> None:
        """Or refuse it, which costs little as long as there is no protocol for it."""
        if server.room() <= len(self._connecting):
            with connection, suppress(OSError):  # the client has left already
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            server.refused()
            return
        connecting = asyncio.get_running_loop().create_task(_connected(connection, server.new_protocol))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    def _next_turn(self) -> None:
        self._ran_in_this_turn = False


async def _connected(connection: socket.socket, new_protocol: Callable[[], asyncio.Protocol]) -> None:
    connection.setblocking(False)  # noqa: FBT003  its name is the method's
    try:
        await asyncio.get_running_loop().connect_accepted_socket(new_protocol, connection)
    except OSError:  # the client has left already
        connection.close()
