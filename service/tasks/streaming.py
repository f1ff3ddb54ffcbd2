"""Event streams, put together: what the routes use, and what starts, drains and stops with the process."""

import asyncio
from functools import partial
from uuid import UUID

from service.background import Background
from service.database.pool import Pool, PoolOptions
from service.tasks.changes import SyncTokens
from service.tasks.delivery import Delivery
from service.tasks.signals import Signals
from service.tasks.streams import KEEPALIVE_TICK_SECONDS, Streams
from service.telemetry.stream_metrics import StreamMetrics


class Streaming:
    def __init__(
        self,
        pool: Pool,
        tokens: SyncTokens,
        metrics: StreamMetrics,
        *,
        per_user_max: int,
        streams_max: int,
        listen: PoolOptions | None,
    ) -> None:
        self.streams = Streams(metrics, per_user_max=per_user_max, streams_max=streams_max)
        self.delivery = Delivery(pool, tokens, self.streams, metrics)
        self._signals = Signals(pool, self.streams, self.delivery, listen=listen)
        metrics.watch(streams=partial(len, self.streams), listening=self._signals.listening)

    def start(self, background: Background) -> None:
        self.delivery.start(background)
        self._signals.start(background)
        background.every("stream_keepalive", self.streams.keep_alive, seconds=KEEPALIVE_TICK_SECONDS, jitter=0)

    def changed(self, user_id: UUID) -> None:
        """The user's tasks have changed, and the change is committed."""
        self._signals.changed(user_id)

    async def drain(self) -> None:
        """End every stream: its client goes on at another process."""
        await self.streams.drain()

    async def stop(self) -> None:
        self.streams.close()
        await asyncio.sleep(0)  # the transports close their sockets in the next round of the loop
