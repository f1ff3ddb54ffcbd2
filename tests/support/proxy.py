"""A TCP proxy that can swallow everything, as a firewall that has forgotten its connections, or lose one answer."""

import asyncio
from collections.abc import AsyncIterator

from tests.support.relay import Relay


class Proxy(Relay):
    """`port` leads to `target_port`; both on this machine."""

    def __init__(self, target_port: int) -> None:
        super().__init__()
        self._target = target_port
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._losing: tuple[bytes, bool] | None = None

    def forget(self) -> None:
        """From now on nothing passes on the connections that exist; new ones work."""
        self._forgotten = set(self._writers)

    def lose(self, sent: bytes, *, arrives: bool) -> None:
        """Cut the first connection on which a client sends this: before it arrives, or once it has been answered."""
        self._losing = (sent, arrives)

    async def _close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        await super()._close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        cut = asyncio.Event()

        async def there() -> None:
            async for data in _chunks(reader, self._writers, other_writer):
                if self._losing is not None and self._losing[0] in data:
                    arrives, self._losing = self._losing[1], None
                    cut.set()
                    if not arrives:
                        break
                if other_writer not in self._forgotten:
                    other_writer.write(data)
            other_writer.close()

        async def back() -> None:
            async for data in _chunks(other_reader, self._writers, writer):
                if cut.is_set():
                    break
                if writer not in self._forgotten:
                    writer.write(data)
            writer.close()

        await asyncio.gather(there(), back())


async def _chunks(
    reader: asyncio.StreamReader, writers: set[asyncio.StreamWriter], writer: asyncio.StreamWriter
) -> AsyncIterator[bytes]:
    writers.add(writer)
    while data := await reader.read(65536):
        yield data
