"""What may stand between the service and PostgreSQL: TLS, an answer that refuses it, another version, a slow start."""

import asyncio
import ssl
import struct
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

from tests.support.relay import Relay

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_FIELDS = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry, no encryption\0\0"
NO_ENTRY = struct.pack("!ci", b"E", len(_FIELDS) + 4) + _FIELDS


class Front(Relay):
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
        super().__init__(tls=tls if direct else None)
        query = parse_qs(urlsplit(url).query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._tls, self._only_tls, self._replace = tls, only_tls, replace
        self._serves = serves
        self.spoken: list[str] = []
        """How each connection was made: "tls" or "plain"."""

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
