"""The external issuer's keys, as one task of the process keeps them: no request ever fetches any."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic, time

import jwt
import structlog

from service.accounts.discovery import Exchange, KeySet
from service.accounts.tokens import BadToken
from service.problems import IssuerUnavailable
from service.telemetry.background_metrics import BackgroundMetrics
from service.threads import UnawaitedThread

REFRESH_SECONDS = 300.0
"""A key that the issuer has withdrawn verifies for so long at the most, while the issuer can be reached."""

STALE_MAX_SECONDS = 24 * 3600.0
"""How long the last good keys serve while the issuer cannot be reached."""

RETRY_SECONDS = 30.0
"""After a failed fetch, while there are keys to go on with."""

PAUSE_SECONDS = 5.0
"""Between two fetches that requests have asked for, or that failed with no keys known: made-up key ids are free."""

FETCH_SECONDS = 8.0
"""For the discovery document and the keys together."""

WAIT_SECONDS = 3.0
"""How long a request waits for a fetch, if its token's key is not known; all others never wait."""

WAITING_MAX = 1000
"""Requests that wait for a fetch; each keeps its head in memory, and who sends them has shown no valid token."""

log = structlog.get_logger()


class IssuerKeys:
    """`run` is the task; `key` is what requests ask. `version` changes whenever a key may have gone."""

    def __init__(self, issuer: str, metrics: BackgroundMetrics) -> None:
        self.issuer = issuer
        self._metrics = metrics
        self.version = 0
        self._keys = KeySet()
        self._good_at = monotonic()
        self._fetching = False
        self._asked_at = float("-inf")
        self._asked = asyncio.Event()
        self._fetched: asyncio.Future[None] | None = None
        self._waiting = 0
        self._thread: UnawaitedThread | None = None

    async def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Raises BadToken for a key that the issuer does not have, IssuerUnavailable while none is known at all."""
        if not self._keys or (key_id is not None and key_id not in self._keys.ids):
            await self._wait_for_news()
        if not self._keys:
            raise IssuerUnavailable
        key = self._keys.find(key_id, algorithm)
        if key is None:
            raise BadToken("bad_token")
        return key

    async def run(self) -> None:
        """Fetch at once, then every few minutes, and when a request has asked for a key that is not known."""
        while True:
            self._fetching = True
            try:
                await self._fetch()
            finally:
                self._fetching = False
                self._tell()
            await self._until_due()

    async def _fetch(self) -> None:
        exchange = Exchange(self.issuer)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await asyncio.wrap_future(self._start(exchange))
        except (OSError, ValueError) as error:
            self._failed(error)
        else:
            self._good_at = monotonic()
            self._metrics.succeeded("issuer_keys", time())
            if found != self._keys:
                self._replace(found)
        finally:
            exchange.cut()

    def _start(self, exchange: Exchange) -> Future[KeySet]:
        """Raises TimeoutError while the last one has not ended: nothing cuts a resolver short.

        Nor does the process wait for it at its end, as it would for an executor's thread.
        """
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError("the last fetch has not ended yet")
        outcome: Future[KeySet] = Future()
        outcome.set_running_or_notify_cancel()
        self._thread = UnawaitedThread("issuer-keys", _run, exchange, outcome)
        self._thread.start()
        return outcome

    def _failed(self, error: Exception) -> None:
        age = monotonic() - self._good_at
        if self._keys and age > STALE_MAX_SECONDS:
            self._replace(KeySet())
        self._metrics.failed("issuer_keys")
        reason = str(error)[:300] or "no answer in time"
        log.warning("issuer_keys_failed", error=type(error).__name__, reason=reason, keys=len(self._keys.ids))

    def _replace(self, keys: KeySet) -> None:
        self._keys = keys
        self.version += 1
        log.info("issuer_keys_changed", keys=sorted(str(key_id) for key_id in keys.ids))

    async def _until_due(self) -> None:
        """Until the next regular fetch, or until a request asks and the last one that did is long enough ago."""
        fresh = monotonic() - self._good_at < REFRESH_SECONDS
        seconds = (REFRESH_SECONDS if fresh else RETRY_SECONDS) if self._keys else PAUSE_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
                await asyncio.sleep(self._pause())
                self._asked_at = monotonic()
        self._asked.clear()

    async def _wait_for_news(self) -> None:
        """Wait for the fetch that is under way or about to begin; ask for one, but not for one right after the last."""
        if not self._fetching:
            self._asked.set()
            if self._pause() > 0:
                return
        if self._waiting >= WAITING_MAX:
            return
        if self._fetched is None:
            self._fetched = asyncio.get_running_loop().create_future()
        self._waiting += 1
        try:
            # Unlike `wait_for`, it leaves what others wait for too alone when this request is cancelled.
            await asyncio.wait([self._fetched], timeout=WAIT_SECONDS)
        finally:
            self._waiting -= 1

    def _tell(self) -> None:
        if self._fetched is not None:
            self._fetched.set_result(None)
            self._fetched = None

    def _pause(self) -> float:
        return self._asked_at + PAUSE_SECONDS - monotonic()


def _run(exchange: Exchange, outcome: Future[KeySet]) -> None:
    try:
        outcome.set_result(exchange.keys())
    except BaseException as error:  # noqa: BLE001  whoever awaits it gets it
        outcome.set_exception(error)
