"""A reader of an event stream that takes next to no time while changes are on their way.

It notes what came and when, and nothing more; what came is read after the run. So thousands of readers fit into one
process, and its own processor time is no part of what it measures.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from loadtests.rest import Account, port_of, tls_of

RETRY_SECONDS = 1.0
OPEN_SECONDS = 30.0
OK = b"HTTP/1.1 200 "
_BEGUN = re.compile(rb"(?:^|\n)id: [^\n]+\n(?:.*\n)*?\n")

Piece = tuple[float, bytes]


class Event(NamedTuple):
    """`at` is when the last byte of it was here, by time.monotonic(); `clock` the time of the change, as RFC 3339."""

    at: float
    task_id: str
    clock: str
    task: dict[str, Any] | None
    """None for a deletion."""


class StreamRefusedError(Exception):
    pass


class _Connection(asyncio.Protocol):
    def __init__(self, head: bytes) -> None:
        self._head = head
        self._transport: asyncio.Transport | None = None
        self.pieces: list[Piece] = []
        self.over = asyncio.get_running_loop().create_future()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((monotonic(), data))
        if not self.begun.done():
            self._look_for_a_beginning()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():  # whoever waited for it may have given up
            self.over.set_result(error)
        if not self.begun.done():
            self.begun.set_exception(StreamRefusedError(self._so_far()[:500].decode(errors="replace")))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _look_for_a_beginning(self) -> None:
        """A stream has begun when its client has a token to come back with."""
        text = self._so_far()
        if b"\r\n\r\n" in text and not text.startswith(OK):
            self.begun.set_exception(StreamRefusedError(text[:500].decode(errors="replace")))
        elif _BEGUN.search(text):
            self.begun.set_result(None)

    def _so_far(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


class Reader:
    """One stream of a user; it comes back with its last id as often as it is cut off."""

    def __init__(self, url: str, account: Account) -> None:
        self.account = account
        self._address = urlsplit(url)
        self._connections: list[_Connection] = []
        self._following: asyncio.Task[None] | None = None

    @property
    def reconnections(self) -> int:
        return max(len(self._connections) - 1, 0)

    async def open(self) -> None:
        """Returns when it has a token to come back with. Raises StreamRefusedError, OSError or TimeoutError."""
        connection = await self._connect(None)
        self._following = asyncio.create_task(self._follow(connection))

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    def events(self) -> Iterator[Event]:
        for connection in self._connections:
            for at, block in _blocks(connection.pieces):
                if (event := _event(at, block)) is not None:
                    yield event

    async def _follow(self, connection: _Connection) -> None:
        while True:
            await connection.over
            await asyncio.sleep(RETRY_SECONDS)
            try:
                connection = await self._connect(self._last_id())
            except (OSError, TimeoutError, StreamRefusedError):
                continue

    async def _connect(self, last_id: str | None) -> _Connection:
        head = (
            f"GET {self.account.tasks}/changes HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Authorization: Bearer {self.account.token}\r\nAccept: text/event-stream\r\n"
        ) + (f"Last-Event-ID: {last_id}\r\n" if last_id else "")
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(f"{head}\r\n".encode()),
            self._address.hostname or "localhost",
            port_of(self._address),
            ssl=tls_of(self._address),
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await connection.begun
        except BaseException:
            connection.close()
            raise
        self._connections.append(connection)
        return connection

    def _last_id(self) -> str | None:
        ids = [
            line[4:]
            for connection in self._connections
            for _, block in _blocks(connection.pieces)
            for line in block.split("\n")
            if line.startswith("id: ")
        ]
        return ids[-1] if ids else None


def _blocks(pieces: Iterable[Piece]) -> Iterator[tuple[float, str]]:
    """What stands between empty lines, with the time at which it was complete."""
    raw = payload = b""
    chunked: bool | None = None
    for at, piece in pieces:
        raw += piece
        if chunked is None:
            head, end, rest = raw.partition(b"\r\n\r\n")
            if not end:
                continue
            chunked, raw = b"transfer-encoding: chunked" in head.lower(), rest
        data, raw = _unchunked(raw) if chunked else (raw, b"")
        *blocks, payload = (payload + data).split(b"\n\n")
        for block in blocks:
            yield at, block.decode()


def _unchunked(raw: bytes) -> tuple[bytes, bytes]:
    """The whole chunks' content, and the rest."""
    content = b""
    while True:
        size, end, rest = raw.partition(b"\r\n")
        if not end or len(rest) < int(size, 16) + 2:
            return content, raw
        content += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]


def _event(at: float, block: str) -> Event | None:
    """None for a comment, and for an id alone."""
    data = [line[6:] for line in block.split("\n") if line.startswith("data: ")]
    if not data:
        return None
    change = json.loads("\n".join(data))
    if change["type"] == "task":
        task = change["task"]
        return Event(at, task["id"], task["updated_at"], task)
    return Event(at, change["id"], change["deleted_at"], None)
