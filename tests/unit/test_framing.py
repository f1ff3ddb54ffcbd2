"""A body of very many chunks that has arrived at once lets the others have their turns."""

import asyncio
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

from service.http.framing import CHUNKS_AT_ONCE, Framed

CHUNKS = 10 * CHUNKS_AT_ONCE


async def turns_for_a_body() -> int:
    app = Mock(dispatch=AsyncMock())
    protocol = Mock(request_max_size=CHUNKS, recv_buffer=bytearray(), app=app)
    exchange = cast(Any, Framed)(protocol)
    exchange.init_for_request()
    exchange.recv_buffer += b"\r\n" + b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n"
    exchange.request_body, exchange.request_bytes_left = "chunked", 0
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    body = b""
    while (part := await exchange.read()) is not None:
        body += part
    counting.cancel()
    assert body == b"x" * CHUNKS
    return turns


async def test_many_chunks_take_many_turns() -> None:
    assert await turns_for_a_body() >= CHUNKS / CHUNKS_AT_ONCE
