"""The connection of one event stream, from its head to its end; Sanic has nothing to do with it any more.

To Sanic an open answer is a task, a request and an answer in the making, some 20 KiB, and a timer. A stream needs none
of it: it is written to when there is something to tell, and by whoever has something to tell.
"""

import asyncio
from typing import Any, cast

from sanic import HTTPResponse

from service.http.requests import Request
from service.http.responses import stream_head

EVENT_STREAM = "text/event-stream"


class EventConnection(asyncio.Protocol):
    """Whoever writes asks for `unsent` first: what the reader has not taken is kept in memory."""

    __slots__ = ("_chunked", "_transport")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chunked = False

    def take(self, transport: asyncio.Transport, *, chunked: bool) -> None:
        self._transport = transport
        self._chunked = chunked
        transport.set_write_buffer_limits(high=0)  # `resume_writing` is to say that everything has gone out
        transport.resume_reading()  # or nobody would notice that the client leaves

    @property
    def unsent(self) -> int:
        """How many bytes wait in this process for the reader."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, events: bytes) -> None:
        if events and self._transport is not None and not self._transport.is_closing():  # an empty chunk is the end
            self._transport.write(b"%x\r\n%b\r\n" % (len(events), events) if self._chunked else events)

    def finish(self, last: bytes) -> None:
        """End the stream properly, behind what is still unsent."""
        self.write(last)
        if self._transport is not None and not self._transport.is_closing():
            if self._chunked:
                self._transport.write(b"0\r\n\r\n")
            self._transport.close()

    def abort(self) -> None:
        """End the connection, whatever is unsent."""
        if self._transport is not None:
            self._transport.abort()

    # What subclasses do

    def drained(self) -> None:
        """All has gone out."""

    def lost(self) -> None:
        """The connection is over."""

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        """A client has nothing to say here; what it sends is not kept."""

    def resume_writing(self) -> None:
        self.drained()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._transport = None
        self.lost()


async def begin_stream(request: Request, connection: EventConnection, first: bytes, headers: dict[str, str]) -> None:
    """Answer 200, and give the client's connection to `connection`, which begins with `first`.

    Raises RequestCancelled when the client has left.
    """
    exchange = await _answer(request, headers)
    chunked = request.version != "1.0"
    transport = cast(asyncio.Transport, exchange.hand_over(connection))
    connection.take(transport, chunked=chunked)
    transport.write(_head(request, exchange.response, chunked=chunked))
    connection.write(first)


async def stream_head_only(request: Request, headers: dict[str, str]) -> None:
    """Answer a HEAD as its GET would be answered."""
    exchange = await _answer(request, headers)
    await exchange.end_with(_head(request, exchange.response, chunked=request.version != "1.0"))


async def _answer(request: Request, headers: dict[str, str]) -> Any:
    """The exchange, with an answer that the middleware has seen."""
    await request.respond(HTTPResponse(None, 200, headers, EVENT_STREAM))
    return request.stream


def _head(request: Request, response: HTTPResponse, *, chunked: bool) -> bytes:
    return stream_head(response, str(request.id), chunked=chunked)
