"""What may stand between the service and PostgreSQL: TLS, an answer that refuses it, another version, a slow start."""

import asyncio
import ssl
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_FIELDS = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry, no encryption\0\0"
NO_ENTRY = struct.pack("!ci", b"E", len(_FIELDS) + 4) + _FIELDS


class Front:
    """A TCP port that leads to the server of `url`, a socket's, through TLS where `tls` is given.

    `replace` changes bytes of the same length in what the server says; after `serves` connections it breaks all off.
    """

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None = None,
        *,
        direct: bool = False,
        only_tls: bool = False,
        replace: tuple[bytes, bytes] = (b"", b""),
        serves: int | None = None,
    ) -> None:
        query = parse_qs(urlsplit(url).query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._tls, self._direct, self._only_tls, self._replace = tls, direct, only_tls, replace
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._serves = serves
        self.port = 0
        self.spoken: list[str] = []
        """How each connection was made: "tls" or "plain"."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _serve(self) -> int:
        tls = self._tls if self._direct else None
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = [writer]
        try:
            await self._relay(reader, writer, opened)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left, or does not like our certificate
        finally:
            for each in opened:
                each.transport.abort()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: list[asyncio.StreamWriter]
    ) -> None:
        if self._serves is not None and len(self.spoken) >= self._serves:
            return
        first = await reader.readexactly(8)
        if first == SSL_REQUEST:
            writer.write(b"S" if self._tls else b"N")
            if self._tls:
                await writer.start_tls(self._tls)
            first = await reader.readexactly(8)
        elif self._only_tls:
            writer.write(NO_ENTRY)
            await writer.drain()
            await reader.read()  # until the client has read it and leaves
            return
        self.spoken.append("tls" if writer.get_extra_info("ssl_object") else "plain")
        upstream, downstream = await asyncio.open_unix_connection(self._socket)
        opened.append(downstream)
        downstream.write(first)
        await asyncio.gather(self._copy(reader, downstream, (b"", b"")), self._copy(upstream, writer, self._replace))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replace: tuple[bytes, bytes]) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data.replace(*replace) if replace[0] else data)
        writer.close()
