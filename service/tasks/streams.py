"""The open event streams of this process: how many there may be, and what ends them."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from service.http.event_stream import EventConnection
from service.problems import StreamsFull, TooManyStreams
from service.tasks import events
from service.tasks.changes import Position
from service.telemetry.stream_metrics import StreamEnd, StreamMetrics

STALLED_SECONDS = 10.0
"""How long a reader may take for what it was sent; that is some 64 KiB."""

UNSENT_BYTES_MAX = 16 * 1024 * 1024
"""Of all streams together. Beyond it, whoever has not read for longest goes first."""

KEEPALIVE_TICK_SECONDS = 0.1
KEEPALIVE_SLOTS = 135
"""At each tick one slot of the streams gets its comment: each stream within 15 s, also where the loop is so busy that
each tick comes 10 ms late, and never thousands at once."""

DRAIN_PORTION = 100

log = structlog.get_logger()


class Reader:
    """A user with streams that are open here, or about to be."""

    __slots__ = ("clock", "due", "not_before", "opening", "read_at", "scheduled", "streams", "user_id", "wakes")

    def __init__(self, user_id: UUID) -> None:
        self.user_id = user_id
        self.streams: set[Stream] = set()
        self.opening = 0
        self.clock = 0
        """The user's clock when it was last read, in microseconds since the epoch."""

        self.read_at = 0.0
        """When that was, by the event loop's clock, as is `not_before`."""

        self.wakes = 0
        """How many times somebody has said that there may be changes."""

        self.due = False
        """Whether there may be something to read for these streams."""

        self.scheduled = False
        """Whether that is arranged, or under way."""

        self.not_before = 0.0


class Stream(EventConnection):
    __slots__ = (
        "_expiry",
        "_streams",
        "began_at",
        "behind",
        "ended",
        "events",
        "limit",
        "position",
        "reader",
        "request_id",
        "stalled_at",
        "stalled_bytes",
        "token_at",
    )

    def __init__(
        self, streams: "Streams", reader: Reader, position: Position, *, behind: bool, limit: int, request_id: str
    ) -> None:
        """`behind` says that there is more to read already; `limit` is how many changes to read at a time."""
        super().__init__()
        self._streams = streams
        self._expiry: asyncio.TimerHandle | None = None
        self.reader = reader
        self.request_id = request_id
        self.position = position
        self.behind = behind
        self.limit = limit
        self.began_at = asyncio.get_running_loop().time()
        self.stalled_at = 0.0
        self.stalled_bytes = 0
        self.token_at = 0
        """How old the last token is that the client has got: its `complete_at`."""

        self.events = 0
        self.ended = False

    def expire_at(self, moment: float) -> None:
        """In seconds since the epoch."""
        seconds = max(moment - time.time(), 0)
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.end, "expired")

    def end(self, reason: StreamEnd, last: bytes = b"") -> None:
        if not self.ended:
            self._over(reason)
            self.finish(last)
            self.note_unsent()

    def cut(self, reason: StreamEnd) -> None:
        if not self.ended:
            self._over(reason)
        self._streams.drained(self)
        self.abort()

    def send(self, written: bytes) -> None:
        self.write(written)
        self.note_unsent()

    def drained(self) -> None:
        self._streams.drained(self)
        if self.behind and not self.ended:
            self._streams.wake(self.reader)

    def lost(self) -> None:
        self._streams.drained(self)
        if not self.ended:
            self._over("client")

    def note_unsent(self) -> None:
        """After each writing: what the reader has not taken has its time."""
        if unsent := self.unsent:
            self._streams.stalls(self, unsent)

    def _over(self, reason: StreamEnd) -> None:
        self.ended = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._streams.remove(self, reason)


class Streams:
    def __init__(self, metrics: StreamMetrics, *, per_user_max: int, streams_max: int) -> None:
        self._metrics = metrics
        self._per_user_max = per_user_max
        self._streams_max = streams_max
        self._readers: dict[UUID, Reader] = {}
        self._count = 0
        self._opening = 0
        self._slots: list[set[Stream]] = [set() for _ in range(KEEPALIVE_SLOTS)]
        self._slot_of: dict[Stream, set[Stream]] = {}
        self._tick = 0
        self._stalled: dict[Stream, None] = {}  # in the order in which they stopped reading
        self._unsent = 0
        self.draining = False
        self.wake: Callable[[Reader], None] = lambda _: None
        """What to call when a stream that is behind can be written to again."""

    def __len__(self) -> int:
        return len(self._slot_of)

    def readers(self) -> list[Reader]:
        return list(self._readers.values())

    def reader(self, user_id: UUID) -> Reader | None:
        return self._readers.get(user_id)

    @contextmanager
    def place(self, user_id: UUID) -> Iterator[Reader]:
        """A place for a stream that is about to open. Raises TooManyStreams or StreamsFull."""
        if len(self) + self._opening >= self._streams_max:
            raise StreamsFull
        reader = self._readers.get(user_id)
        if reader is None:
            reader = self._readers[user_id] = Reader(user_id)
        elif len(reader.streams) + reader.opening >= self._per_user_max:
            raise TooManyStreams
        reader.opening += 1
        self._opening += 1
        try:
            yield reader
        finally:
            reader.opening -= 1
            self._opening -= 1
            self._forget(reader)

    def add(self, stream: Stream, *, expires_at: float) -> None:
        """`expires_at` is in seconds since the epoch."""
        stream.expire_at(expires_at)
        stream.reader.streams.add(stream)
        slot = self._slots[self._count % KEEPALIVE_SLOTS]
        self._count += 1
        slot.add(stream)
        self._slot_of[stream] = slot
        stream.note_unsent()

    def remove(self, stream: Stream, reason: StreamEnd) -> None:
        slot = self._slot_of.pop(stream, None)
        if slot is None:
            return  # it has never begun
        slot.discard(stream)
        stream.reader.streams.discard(stream)
        self._forget(stream.reader)
        self._metrics.ended(reason)
        log.info(
            "stream",
            user_id=str(stream.reader.user_id),
            request_id=stream.request_id,
            seconds=round(asyncio.get_running_loop().time() - stream.began_at, 3),
            events=stream.events,
            reason=reason,
        )

    def stalls(self, stream: Stream, unsent: int) -> None:
        """So many bytes wait for the reader to take them."""
        if stream not in self._stalled:
            stream.stalled_at = asyncio.get_running_loop().time()
            self._stalled[stream] = None
        self._unsent += unsent - stream.stalled_bytes
        stream.stalled_bytes = unsent
        while self._unsent > UNSENT_BYTES_MAX:
            next(iter(self._stalled)).cut("slow")

    def drained(self, stream: Stream) -> None:
        if stream in self._stalled:
            del self._stalled[stream]
            self._unsent -= stream.stalled_bytes
            stream.stalled_bytes = 0

    async def keep_alive(self) -> None:
        """Every `KEEPALIVE_TICK_SECONDS`: a comment for some, the end for those who do not read."""
        for stream in list(self._slots[self._tick]):
            if not stream.unsent:
                stream.send(events.COMMENT)
        self._tick = (self._tick + 1) % KEEPALIVE_SLOTS
        since = asyncio.get_running_loop().time() - STALLED_SECONDS
        for stream in [stream for stream in self._stalled if stream.stalled_at < since]:
            stream.cut("slow")

    async def drain(self) -> None:
        """End all of them, and those that still come."""
        self.draining = True
        streams = list(self._slot_of)
        for start in range(0, len(streams), DRAIN_PORTION):
            for stream in streams[start : start + DRAIN_PORTION]:
                stream.end("drain", events.closing())
            await asyncio.sleep(0)

    def close(self) -> None:
        """Whoever has not taken the end of its stream yet."""
        for stream in [*self._slot_of, *self._stalled]:
            stream.cut("shutdown")

    def _forget(self, reader: Reader) -> None:
        if not reader.streams and not reader.opening:
            self._readers.pop(reader.user_id, None)
