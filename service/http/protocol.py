"""The HTTP/1.1 connection: one request after the other, each within its time, and no answer waited for without end.

Sanic restarts its timer with every byte, and stops it for whoever asks for a WebSocket, so that a client keeps a
connection for ever. So timers and admission are ours.
"""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, cast

from sanic.exceptions import RequestCancelled, RequestTimeout, ServiceUnavailable
from sanic.http import Stage
from sanic.server import HttpProtocol

from service.http.acceptor import Acceptor, Server
from service.http.admission import Admission, refusal
from service.http.exchange import Exchange, user_of
from service.http.observer import Observer
from service.http.requests import Services
from service.http.unsent import STALLED_SECONDS, Backlog, Unsent

FIRST_REQUEST_SECONDS = 12.0
"""Whoever opens a connection has a request for it; on a busy machine some took 11 s to send it."""

CHECK_SECONDS = 2.0
"""Between two checks of a connection's timeouts: by so much they may be late."""

LINGER_SECONDS = 2.0
"""For an answer to reach a client that is still sending: closed at once, the rest of its body would be answered with a
reset, which takes the answer away from it."""

_SOCKET_OPTIONS = {
    # What is unsent stays where it is counted, in this process, instead of in some 4 MB of each socket's buffer.
    "TCP_NOTSENT_LOWAT": 64 * 1024,
    # The rest, which the kernel has: it too gives up a client that acknowledges nothing, in milliseconds.
    "TCP_USER_TIMEOUT": 15_000,
}


class Protocol(HttpProtocol):
    """One connection: what may come in, when its time is up, and what is left to be sent.

    While the service is at capacity, a request waits in the buffer, where Sanic has not heard of it.
    """

    HTTP_CLASS = Exchange
    __slots__ = (
        "_acceptor",
        "_admission",
        "_awaits_request",
        "_began",
        "_discards",
        "_expired_at",
        "_idle_seconds",
        "_observer",
        "_queued",
        "_unsent",
        "backlog",
        "handed_over",
        "user",
        "waited",
    )

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self._acceptor.server is None:
            self._acceptor.server = Server(
                new_protocol=partial(type(self), **arguments),
                room=partial(self._admission.room, self.connections),
                refused=self._observer.connection_refused,
            )

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]  # Sanic's
        services = cast(Services, self.app.ctx)
        self._acceptor = services[Acceptor]
        self._admission = services[Admission]
        self._observer = services[Observer]
        self._unsent = services[Unsent]
        self._awaits_request = self._queued = self._discards = False
        self._began = monotonic()
        self._expired_at = 0.0
        self._idle_seconds: float = FIRST_REQUEST_SECONDS
        self.backlog = Backlog(self._unsent_bytes)
        self.handed_over = False
        """Whether the connection is another protocol's by now, that of a stream."""

        self.user: str | None = None
        """Who was last served here."""

        self.waited = 0.0
        """Seconds that the request has waited to be read."""

        self.request_handler = self._observer.observe

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        self._acceptor.accept_more()
        if self._admission.room(self.connections) <= 0:
            self._observer.connection_refused()
            transport.abort()  # a proxy tries another pod then, which it would not after an answer
            return
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # Sanic's
        connection = transport.get_extra_info("socket")
        for name, value in _SOCKET_OPTIONS.items():
            option = getattr(socket, name, None)  # Linux has both
            if option is not None:
                with suppress(OSError):  # the client has left already
                    connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.conn_info is not None:  # else it was refused, and Sanic has never heard of it
            super().connection_lost(exc)  # type: ignore[no-untyped-call]  # Sanic's

    # Reading

    async def request_due(self) -> None:
        """Wait for a request's first byte, and until there is capacity for it."""
        await self.taken()  # no further answer before
        self._data_received.clear()
        self._awaits_request = True
        if self.transport is not None:
            self.transport.resume_reading()
        if self.recv_buffer:  # the client did not wait for the last answer
            self._arrived()
        await self._data_received.wait()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        self.recv_buffer += data
        if self._awaits_request:
            self._arrived()
        elif not self._queued:
            self._data_received.set()
        if len(self.recv_buffer) >= self.app.config.REQUEST_BUFFER_SIZE and self.transport is not None:
            self.transport.pause_reading()

    def _arrived(self) -> None:
        self._awaits_request = False
        self._began = monotonic()
        self._idle_seconds = self.keep_alive_timeout
        self.waited = 0.0
        if self._admission.admits():
            self._data_received.set()
        else:
            self._queued = True
            self._admission.enqueue(self)

    def admit(self, waited: float) -> bool:
        self._queued = False
        if self.transport is None or self.transport.is_closing():
            return False
        self.waited = waited
        self._data_received.set()
        return True

    def refuse(self, waited: float) -> None:
        answer = refusal(self.recv_buffer)
        if answer is None:
            self.admit(waited)  # to be refused as soon as it is parsed
        elif self.transport is not None and not self.transport.is_closing():
            self._queued = False
            method, request_id, written = answer
            self.recv_buffer.clear()
            self.transport.write(written)
            self._time = monotonic()
            self._awaits_request = True
            self._observer.refused(method, request_id, waited)

    async def taken(self) -> None:
        """Closed earlier, Sanic would cut whoever takes more than five seconds for an answer."""
        while not self._can_write.is_set():
            await self._can_write.wait()

    async def linger(self) -> None:
        """End the sending side, and throw away what still comes in until the client has hung up or had its time."""
        if self.transport is None or self.transport.is_closing():
            return
        self._discards = True
        self.recv_buffer.clear()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        await asyncio.sleep(LINGER_SECONDS)  # the end of the connection cancels it

    def hand_over(self, successor: asyncio.BaseProtocol) -> asyncio.Transport:
        """Give the connection to another protocol. Raises RequestCancelled when the client has left."""
        transport: asyncio.Transport | None = self.transport
        if transport is None or transport.is_closing():
            raise RequestCancelled
        self._unsent.remove(self)
        self.transport = None  # as after an abort: for this protocol there is nothing left to close
        self.connections.discard(self)
        self.handed_over = True
        transport.set_protocol(successor)
        return transport

    # Timeouts

    def check_timeouts(self) -> None:
        """Called every now and then while the connection is open; nothing that a client sends puts it off."""
        if self.transport is None or self._task is None:
            return
        now = monotonic()
        if self.backlog.is_overdue(now):
            self.cut("not_reading")
            return
        if self._is_overdue(now):
            self._expire(now)
        self._callback_check_timeouts = self.loop.call_later(CHECK_SECONDS, self.check_timeouts)

    def _is_overdue(self, now: float) -> bool:
        stage: Stage = self._http.stage
        if self._queued or stage is Stage.RESPONSE:  # admission has its own timeout, and so has the backlog
            return False
        if stage is Stage.IDLE:
            return now - self._time > self._idle_seconds
        limit: float = self.request_timeout
        if not self._is_arriving():
            limit += self.response_timeout
        return now - self._began > limit

    def _is_arriving(self) -> bool:
        exchange: Exchange = self._http
        return exchange.stage is Stage.REQUEST or exchange.has_unread_body

    def _expire(self, now: float) -> None:
        if self._task is not None and not self._expired_at:
            self._expired_at = now
            self._http.exception = RequestTimeout() if self._is_arriving() else ServiceUnavailable()
            self._task.cancel()
        elif now - self._expired_at > STALLED_SECONDS:  # whatever it does, it did not end when it was cancelled
            self.cut("overdue")

    # Writing

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[no-untyped-call]  # Sanic's
        self._unsent.add(self, self._user_now())

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[no-untyped-call]  # Sanic's
        self._unsent.remove(self)

    def _unsent_bytes(self) -> int:
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def cut(self, reason: str) -> None:
        self._observer.cut(reason)
        self._unsent.remove(self)
        if self.transport is not None:
            self.transport.abort()

    def _user_now(self) -> str | None:
        exchange: Exchange | None = getattr(self, "_http", None)
        return self.user if exchange is None or exchange.request is None else user_of(exchange.request)
