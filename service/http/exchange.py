"""What is said on a connection: requests and their answers, in turn.

Sanic's own loop goes on reading a request's body after it has answered, and takes an upgrade to a WebSocket that nobody
offers: both leave the connection in a state that neither its timers nor admission know. So the loop is ours; parsing
and rendering stay Sanic's.
"""

import asyncio
from asyncio import Transport
from typing import Any

from sanic.exceptions import RequestCancelled, ServerError
from sanic.http import Stage
from sanic.request import Request

from service.http.framing import Framed
from service.http.responses import Response, add_common_headers
from service.http.slots import Slot

HEADER_BYTES_MAX = 32 * 1024
"""An external issuer's access token may take half of it."""

ERROR_STATUS_MIN = 400
ONE_WRITE_BYTES_MAX = 64 * 1024
"""Beyond it, to copy head and body together costs more than a second write."""


class Exchange(Framed):
    """The requests of one connection and their answers."""

    __slots__ = ()
    HEADER_MAX_SIZE = HEADER_BYTES_MAX
    """Sanic's REQUEST_MAX_HEADER_SIZE sets it for all applications of the process at once, and not above 16 KiB."""

    async def http1(self) -> None:
        """Sanic's loop, but for its ends: it takes no upgrade, and reads no body that the answer did not wait for."""
        lingers = False
        while self.keep_alive and self.stage is Stage.IDLE:
            self.init_for_request()
            await self.protocol.request_due()
            self.stage = Stage.REQUEST
            await self._serve()
            lingers = self.has_unread_body or (self.response is not None and self.response.status >= ERROR_STATUS_MIN)
            self._forget()
        await self.protocol.taken()
        if lingers:
            await self.protocol.linger()

    async def _serve(self) -> None:
        try:
            self.response_func = self.http1_response_header
            await self.http1_request_header()
            self.upgrade_websocket = False  # an Upgrade is an offer, RFC 9110 7.8, and not taken
            self.stage = Stage.HANDLER
            self.request.conn_info = self.protocol.conn_info
            await self.protocol.request_handler(self.request)
            if self.stage is Stage.RESPONSE:
                await self.response.send(end_stream=True)
            elif self.stage is Stage.HANDLER:
                await self.error_response(ServerError("Handler produced no response"))
        except asyncio.CancelledError as error:
            await self._answer_cancelled(error)
        except Exception as error:  # noqa: BLE001  whatever it is, it is answered
            await self.error_response(error)

    async def _answer_cancelled(self, error: asyncio.CancelledError) -> None:
        """The client has left, or its time is up."""
        self.keep_alive = False
        if self.protocol.transport is None:
            return
        lost = self.protocol.conn_info is not None and self.protocol.conn_info.lost
        cause, self.exception = RequestCancelled() if lost else self.exception or error, None
        await self.error_response(cause)  # type: ignore[arg-type]  # Sanic passes CancelledError too

    def _forget(self) -> None:
        """The next request on this connection may be long in coming."""
        if self.request is not None:
            self.protocol.user = user_of(self.request)
            self.request.stream = None
            if self.response is not None:
                self.response.stream = None

    @property
    def has_unread_body(self) -> bool:
        framing: Any = self.request_body  # None, True or "chunked"
        return bool(framing) and (framing == "chunked" or bool(self.request_bytes_left))

    def _settle_body(self) -> None:
        """Before an answer that did not wait for the request's body: what is not here already is never read."""
        framing: Any = self.request_body
        left = self.request_bytes_left or 0
        if framing != "chunked" and left <= len(self.recv_buffer):
            del self.recv_buffer[:left]
            self.request_body, self.request_bytes_left = None, 0
        else:
            self.keep_alive = False

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:  # noqa: FBT001  Sanic's signature
        if self.request_body and self.has_unread_body:
            self._settle_body()
            self.expecting_continue = False  # answered without the body, which nobody was told to send
        response, request_id = self.response, str(self.request.id)
        if type(response) is not Response or data or self.head_only:
            add_common_headers(response, request_id)
            await super().http1_response_header(data, end_stream)
            return
        # Whole and ours: written in one go, at a third of what Sanic takes to have every possible answer in mind.
        body = response.body or b""
        self.response_size = len(body)
        self.response_func = None  # type: ignore[assignment]  # Sanic does so as well
        head = response.head(request_id, keep_alive=self.keep_alive)
        if len(body) <= ONE_WRITE_BYTES_MAX:
            await self._send(head + body)
        else:
            await self._send(head)
            await self._send(body)
        self.stage = Stage.IDLE

    async def end_with(self, answer: bytes) -> None:
        """Send the whole answer as it is, and end the connection."""
        await self._send(answer)
        self._end()

    def hand_over(self, successor: asyncio.BaseProtocol) -> Transport:
        """Give the connection to another protocol: here the request is over with it. Raises RequestCancelled."""
        transport = self.protocol.hand_over(successor)
        self._end()
        return transport

    def _end(self) -> None:
        self.response_func = None  # type: ignore[assignment]  # Sanic does so as well
        self.stage = Stage.IDLE
        self.keep_alive = False


def user_of(request: Request) -> str | None:
    """Whose request it is, as far as is known."""
    slot: Slot | None = getattr(request.ctx, "slot", None)
    return None if slot is None else slot.user
