"""What the service takes and how it fares for others, beside the streams."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic, process_time
from typing import Self

from loadtests.rest import Account, Client

LATENESS_SECONDS = 0.01
OK = 200
PING_SECONDS = 0.05


class Admin:
    """The samples of the admin port."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)

    async def sample(self) -> dict[str, float]:
        answer = await self._client.request("GET", "/metrics")
        lines = (line.rpartition(" ") for line in answer.body.decode().splitlines() if line[:1] not in {"", "#"})
        return {name: float(value) for name, _, value in lines}

    def close(self) -> None:
        self._client.close()


@dataclass
class Pings:
    """An ordinary client beside all of it: a page of 20 tasks, 20 times a second."""

    url: str
    account: Account
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def run(self, duration: float) -> None:
        client, until = Client(self.url, self.account.token), monotonic() + duration
        while monotonic() < until:
            began_at = monotonic()
            try:
                answer = await client.request("GET", f"{self.account.tasks}?limit=20")
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))
            else:
                self.seconds.append(monotonic() - began_at)
                if answer.status != OK:
                    self.failures.append(f"{answer.status} {answer.body[:200]!r}")
            await asyncio.sleep(max(began_at + PING_SECONDS - monotonic(), 0))
        client.close()


class OwnCost:
    """What this process itself adds: the processor that it takes, and how late its event loop is."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self.cores = 0.0

    async def __aenter__(self) -> Self:
        self._began = monotonic(), process_time()
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self.cores = (process_time() - self._began[1]) / (monotonic() - self._began[0])

    async def _watch(self) -> None:
        while True:
            due = monotonic() + LATENESS_SECONDS
            await asyncio.sleep(LATENESS_SECONDS)
            self.lateness.append(monotonic() - due)
