"""Where a request begins and ends on its connection, to the letter of RFC 9112, beyond what Sanic reads of it."""

import asyncio
import re
from typing import Any

from sanic.exceptions import BadRequest, PayloadTooLarge, URITooLong
from sanic.http import Http, Stage
from sanic.http.http1 import HTTP_CONTINUE

from service.http.connection import Connection
from service.http.requests import FIELD

CHUNK_LINE_BYTES_MAX = 4096
"""Of a chunk's size with its extensions, and of one trailer field."""

TRAILER_BYTES_MAX = 16 * 1024

CHUNKS_AT_ONCE = 200
"""Then the others have their turn. A chunk takes some 5 µs, however small: of one byte each, what a single read of the
socket brings would keep everybody waiting for a quarter of a second."""

# Sanic takes what Python's int() takes: "0xe", "\u0664", " e".
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(FIELD)


class Framed(Http):
    __slots__ = ("_chunks",)
    protocol: Connection  # type: ignore[assignment]  # of all that Sanic's is, what is used here

    def init_for_request(self) -> None:
        super().init_for_request()  # type: ignore[no-untyped-call]  # Sanic's
        self._chunks = 0

    async def http1_request_header(self) -> None:
        """Raises URITooLong when not even the request's line ends in time."""
        if self.recv_buffer.startswith(b"\r"):
            await self._skip_empty_line()
        try:
            await super().http1_request_header()  # type: ignore[no-untyped-call]  # Sanic's has no annotation
        except PayloadTooLarge:
            if b"\r\n" not in self.recv_buffer[: self.HEADER_MAX_SIZE]:
                raise URITooLong from None
            raise
        if "connection" in self.request.headers:
            self._decide_persistence()

    async def read(self) -> bytes | None:
        """The next bytes of the body, None at its end. Raises BadRequest or PayloadTooLarge."""
        body: object = self.request_body  # Sanic annotates it as bytes
        if body == "chunked" and self.request_bytes_left == 0:
            if self.expecting_continue:
                self.expecting_continue = False
                await self._send(HTTP_CONTINUE)
            await self._next_chunk()
        return await super().read() if self.request_body else None

    async def _skip_empty_line(self) -> None:
        """One, which old clients send behind a body: the connection is idle until more than that has arrived."""
        buffer: bytearray = self.recv_buffer
        while len(buffer) < len(b"\r\n"):
            await self._receive_more()
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
            if not buffer:
                self.stage = Stage.IDLE
                await self.protocol.request_due()
                self.stage = Stage.REQUEST

    def _decide_persistence(self) -> None:
        """By all options of all `Connection` lines: Sanic knows one option, and of several lines the last."""
        request: Any = self.request
        options = {option.strip().lower() for option in ",".join(request.headers.getall("connection")).split(",")}
        stays = "close" not in options and (request.version == "1.1" or "keep-alive" in options)
        self.keep_alive = stays and bool(self.protocol.app.config.KEEP_ALIVE)

    async def _next_chunk(self) -> None:
        """The line break that ends the head or the chunk before, then a size; a size of 0 ends the body."""
        self._chunks += 1
        if self._chunks % CHUNKS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if await self._line():
            raise self._malformed()
        chunk = _CHUNK.fullmatch(await self._line())
        if chunk is None:
            raise self._malformed()
        size = int(chunk[1], 16)
        if size == 0:
            await self._skip_trailers()
            self.request_body = None
        self.request_bytes_left = size
        self.request_bytes = (self.request_bytes or 0) + size

    async def _skip_trailers(self) -> None:
        """Nothing here has a use for them, but whoever sends them is right to."""
        size = 0
        while line := await self._line():
            size += len(line) + len(b"\r\n")
            if size > TRAILER_BYTES_MAX or _FIELD.fullmatch(line) is None:
                raise self._malformed()

    async def _line(self) -> bytes:
        buffer: bytearray = self.recv_buffer
        while (end := buffer.find(b"\r\n", 0, CHUNK_LINE_BYTES_MAX)) < 0:
            if len(buffer) >= CHUNK_LINE_BYTES_MAX:
                raise self._malformed()
            await self._receive_more()
        line = bytes(buffer[:end])
        del buffer[: end + 2]
        return line

    def _malformed(self) -> BadRequest:
        """Where the next request would begin is not known any more: there is none."""
        self.keep_alive = False
        self.request_body = None
        return BadRequest("Bad chunked encoding")
