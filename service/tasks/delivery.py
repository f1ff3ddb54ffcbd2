"""From a change to the streams of its user: what is behind each stream's position is read from the table and written.

There is no queue of changes: a stream is a position, and whatever has happened since stands in the table. Streams at
one position share a reading, and a reading serves all changes until then, however many wakes they have caused.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from time import monotonic

import structlog

from service.background import Background
from service.database.pool import Pool
from service.problems import Problem, SyncTokenExpired, Unauthorized
from service.tasks import events
from service.tasks.changes import Changes, Position, SyncTokens, read_changes
from service.tasks.streams import Reader, Stream, Streams
from service.telemetry.stream_metrics import StreamEnd, StreamMetrics

READERS = 4
"""Readings at a time: of the pool's connections, the rest is for requests."""

READ_INTERVAL_SECONDS = 0.05
"""Between two readings for one user who is up to date, so that a hundred changes a second are twenty readings."""

RETRY_SECONDS = 0.5
"""After a reading that failed."""

CHANGES_FIRST = 16
CHANGES_MAX = 100
BYTES_PER_READING = 64 * 1024
"""What a reading should come to: it has as many changes as came to it the last time. A stream that has not sent all of
one reading gets no further one, so this is about what one reader can make the process keep; a page's own limit is what
it can be at the most."""

REFRESH_SECONDS_MAX = 6 * 3600.0

log = structlog.get_logger()


class Delivery:
    def __init__(self, pool: Pool, tokens: SyncTokens, streams: Streams, metrics: StreamMetrics) -> None:
        self._pool = pool
        self._tokens = tokens
        self._streams = streams
        self._metrics = metrics
        self.refresh_seconds = min(tokens.retention_seconds / 4, REFRESH_SECONDS_MAX)
        """How old a stream's token may get while nothing changes."""

        streams.wake = self.wake
        self._due: asyncio.Queue[Reader] = asyncio.Queue()

    def start(self, background: Background) -> None:
        for _ in range(READERS):
            background.start("stream_reader", self._work)

    async def read(self, reader: Reader, position: Position, limit: int = CHANGES_FIRST) -> Changes:
        """Raises Unauthorized, SyncTokenExpired, or the database's problems."""
        return await read_changes(
            self._pool,
            reader.user_id,
            position,
            limit=limit,
            retention_seconds=self._tokens.retention_seconds,
        )

    def begin(self, stream: Stream, page: Changes, *, wakes: int) -> None:
        """The stream has been sent this page, which was read when its reader had been woken so many times."""
        reader = stream.reader
        self._count(stream, page)
        if reader.streams == {stream}:
            reader.clock, reader.read_at = page.clock, stream.began_at
        # What another stream has been told since, or is being read for it, is no news to whoever compares the clocks.
        if page.more or reader.wakes != wakes or reader.scheduled or page.clock < reader.clock:
            self._schedule(reader)

    def render(self, reader: Reader, page: Changes) -> bytes:
        """The events of a page; the last one's token is the page's, which is as good, and for longer."""
        changes = page.changes
        if changes and not page.more:
            changes = [*changes[:-1], changes[-1]._replace(position=page.position)]
        return events.render(changes, partial(self._tokens.write, reader.user_id))

    def wake(self, reader: Reader) -> None:
        """There may be something to read for the reader's streams."""
        reader.wakes += 1
        if reader.streams:
            self._schedule(reader)

    def _schedule(self, reader: Reader) -> None:
        reader.due = True
        if reader.scheduled:
            return
        reader.scheduled = True
        loop = asyncio.get_running_loop()
        if reader.not_before > loop.time():
            loop.call_at(reader.not_before, self._due.put_nowait, reader)
        else:
            self._due.put_nowait(reader)

    async def _work(self) -> None:
        while True:
            reader = await self._due.get()
            try:
                await self._serve(reader)
            except Exception:
                log.exception("stream_reading_failed")
                _end(reader.streams, "error")  # its clients come back, and nobody else's have noticed
            finally:
                reader.scheduled = False
                if reader.due and reader.streams:
                    self._schedule(reader)

    async def _serve(self, reader: Reader) -> None:
        reader.due = False
        reader.not_before = asyncio.get_running_loop().time() + READ_INTERVAL_SECONDS
        clocks = []
        for position, streams in _ready(reader).items():
            try:
                clocks.append(await self._serve_from(reader, position, streams))
            except Unauthorized:
                _end(reader.streams, "account")
            except SyncTokenExpired:
                _end(streams, "token")
            except Problem:  # the database's, which whoever asks it counts and logs
                reader.due = True
                reader.not_before = asyncio.get_running_loop().time() + RETRY_SECONDS
        if clocks:  # the others have not seen what the last of them has
            reader.clock, reader.read_at = min(clocks), asyncio.get_running_loop().time()

    async def _serve_from(self, reader: Reader, position: Position, streams: list[Stream]) -> int:
        """Returns the clock as it was read."""
        asked_at = monotonic()
        limit = min(stream.limit for stream in streams)
        page = await self.read(reader, position, limit)
        written = self.render(reader, page)
        for stream in streams:
            stream.limit = _next_limit(limit, page)
            if not stream.ended:
                self._send(stream, page, written, asked_at)
        if page.more:
            reader.not_before = 0.0
            reader.due |= any(not stream.unsent for stream in streams)
        return page.clock

    def _send(self, stream: Stream, page: Changes, written: bytes, asked_at: float) -> None:
        stream.position = page.position
        if written:
            stream.send(written)
            self._count(stream, page)
            if not stream.behind:
                self._observe(page, monotonic() - asked_at)
        elif page.position.complete_at - stream.token_at > self.refresh_seconds * 1_000_000:
            stream.send(events.token_alone(self._tokens.write(stream.reader.user_id, page.position)))
            stream.token_at = page.position.complete_at
        stream.behind = page.more

    def _count(self, stream: Stream, page: Changes) -> None:
        stream.token_at = page.position.complete_at
        stream.events += len(page.changes)
        for event in ("task", "deleted"):
            if count := sum(1 for change in page.changes if change.kind == event):
                self._metrics.written(event, count)

    def _observe(self, page: Changes, since_asked: float) -> None:
        """By the database's clock until it was asked, by this machine's from then on: the two need not agree.

        A user's clock may be ahead of the database's, after a failover to one that is behind: a sum that falls is taken
        for that of a new process.
        """
        for change in page.changes:
            seconds = (page.now - change.position.clock) / 1_000_000 + since_asked
            self._metrics.delivery_seconds.observe(max(seconds, 0.0))


def _ready(reader: Reader) -> dict[Position, list[Stream]]:
    """The streams that can be written to, by where they are."""
    found: dict[Position, list[Stream]] = {}
    for stream in reader.streams:
        if stream.unsent:
            stream.behind = True  # it is read for when its client has taken what there is
        else:
            found.setdefault(stream.position, []).append(stream)
    return found


def _next_limit(limit: int, page: Changes) -> int:
    if not page.more:
        return CHANGES_FIRST
    size = sum(len(change.document) for change in page.changes)
    return max(1, min(2 * limit, limit * BYTES_PER_READING // size, CHANGES_MAX))


def _end(streams: Iterable[Stream], reason: StreamEnd) -> None:
    for stream in list(streams):
        stream.end(reason)
