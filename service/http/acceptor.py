"""Connections are accepted many at a time.

libuv takes one connection in each turn of the loop. While the process is busy a turn takes milliseconds, so that some
300 are accepted a second: those of a crowd would wait in the kernel for many seconds, neither served nor refused.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

AT_ONCE = 16
"""In one turn of the loop: each takes 0.1 ms, which the requests under way wait for."""


class Acceptor:
    def __init__(self, listener: socket.socket) -> None:
        """`listener` is the server's own."""
        self._listener = listener
        self.new_protocol: Callable[[], asyncio.Protocol] | None = None
        """What the server makes its protocols with, once it has made one."""

        self._ran_in_this_turn = False
        self._connecting: set[asyncio.Task[None]] = set()

    def accept_more(self) -> None:
        """For each new connection: where there is one, there may be others."""
        if self.new_protocol is None or self._ran_in_this_turn:
            return
        loop = asyncio.get_running_loop()
        self._ran_in_this_turn = True
        loop.call_soon(self._next_turn)
        with suppress(OSError):  # none is left, or there is no room for it, or the server listens no more
            for _ in range(AT_ONCE):
                connection, _ = self._listener.accept()
                connecting = loop.create_task(_connect(loop, self.new_protocol, connection))
                self._connecting.add(connecting)
                connecting.add_done_callback(self._connecting.discard)

    def _next_turn(self) -> None:
        self._ran_in_this_turn = False


async def _connect(
    loop: asyncio.AbstractEventLoop, new_protocol: Callable[[], asyncio.Protocol], connection: socket.socket
) -> None:
    connection.setblocking(False)  # noqa: FBT003  its name is the method's
    try:
        await loop.connect_accepted_socket(new_protocol, connection)
    except OSError:  # the client has left already
        connection.close()
