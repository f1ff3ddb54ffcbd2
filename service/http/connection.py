"""What requests and their answers need of the connection that they come and go on."""

import asyncio
from asyncio import Transport
from typing import Any, Protocol

from sanic.models.server_types import ConnInfo


class Connection(Protocol):
    app: Any
    transport: Transport | None
    conn_info: ConnInfo | None
    user: str | None
    """Who was last served here."""

    async def request_due(self) -> None:
        """Wait for a request's first byte, with which its timeout begins, and until there is capacity for it."""
        ...

    async def taken(self) -> None:
        """Wait until the write buffer is drained below its low-water mark."""
        ...

    async def linger(self) -> None:
        """End the sending side, and wait a little for the client to hang up."""
        ...

    def hand_over(self, successor: asyncio.BaseProtocol) -> Transport:
        """Give the connection to another protocol. Raises RequestCancelled when the client has left."""
        ...

    async def request_handler(self, request: Any) -> None: ...
