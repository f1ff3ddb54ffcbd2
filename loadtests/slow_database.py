"""A way to PostgreSQL on which every answer takes its time, as from a far or a busy server.

With it, the database is what limits the service, at a rate that a load generator on the same machine can still treble.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 65_536


@contextlib.contextmanager
def slowed(socket: Path, delay_seconds: float) -> Iterator[int]:
    """Yields the TCP port on 127.0.0.1 that leads to PostgreSQL's `socket`, with the delay on the way back."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_serve(socket, delay_seconds), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(socket: Path, delay_seconds: float) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            database_reader, database_writer = await asyncio.open_unix_connection(socket)
            with contextlib.closing(database_writer):
                await asyncio.gather(
                    _pass_on(reader, database_writer, 0.0), _pass_on(database_reader, writer, delay_seconds)
                )

    return await asyncio.start_server(connected, "127.0.0.1", 0)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float) -> None:
    """In order, each piece `delay_seconds` after it came."""
    clock = asyncio.get_running_loop().time
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            due, data = await underway.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            writer.write(data)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(deliver())
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                underway.put_nowait((clock() + delay_seconds, data))
        underway.put_nowait((0.0, b""))


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # for the connections that they closed
