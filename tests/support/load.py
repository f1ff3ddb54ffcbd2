"""Load on a running service from a thread beside the test, with every answer written down."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from tests.support.drill import eventually
from tests.support.users import User

CLIENT_TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Answer:
    """`status` is 0 for a request that got none; times are those of time.monotonic()."""

    method: str
    status: int
    began_at: float
    ended_at: float
    code: str = ""
    retry_after: str | None = None

    @property
    def seconds(self) -> float:
        return self.ended_at - self.began_at


@dataclass
class Written:
    """What became of the titles that were sent."""

    acknowledged: set[str] = field(default_factory=set)
    unknown: dict[str, str] = field(default_factory=dict)
    """The key under which to repeat each title whose fate is not known."""


class Load:
    """`workers` clients of one user: every fourth request writes, with an Idempotency-Key, the others read."""

    def __init__(self, user: User, *, workers: int = 6, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._user = user
        self._workers = workers
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._number = itertools.count()
        self.answers: list[Answer] = []
        self.written = Written()

    def __enter__(self) -> Self:
        self._thread.start()
        self.until_success(time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(CLIENT_TIMEOUT_SECONDS * 2)

    def until_success(self, since: float, within_seconds: float = 15.0) -> float:
        """Wait for requests that began after `since` and succeeded, a write among them; returns how late that was."""
        found: list[float] = []

        def served() -> bool:
            good = [a for a in self.answers if a.began_at >= since and 200 <= a.status < 300]
            found[:] = [a.ended_at - since for a in good if a.method == "POST"]
            return bool(found)

        eventually(served, within_seconds)
        return found[0]

    def between(self, start: float, end: float) -> list[Answer]:
        """The answers to requests that began in this time."""
        return [a for a in self.answers if start <= a.began_at < end]

    def count(self, wanted: Callable[[Answer], bool]) -> int:
        return sum(1 for answer in self.answers if wanted(answer))

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self._workers)
        headers = {"Authorization": f"Bearer {self._user.token}"}
        base_url = str(self._user.http.base_url)
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, limits=limits, timeout=CLIENT_TIMEOUT_SECONDS, verify=False
        ) as client:
            await asyncio.gather(*(self._work(client) for _ in range(self._workers)))

    async def _work(self, client: httpx.AsyncClient) -> None:
        async for number in self._numbers():
            title = f"task {number}"
            began_at = time.monotonic()
            try:
                if number % 4 == 0:
                    self.written.unknown[title] = f"key-{number}"
                    headers = {"Idempotency-Key": f"key-{number}"}
                    answer = await client.post(self._user.tasks, json={"title": title}, headers=headers)
                else:
                    answer = await client.get(self._user.tasks, params={"limit": 3})
            except httpx.TransportError as error:
                kind = type(error).__name__
                self.answers.append(
                    Answer("POST" if number % 4 == 0 else "GET", 0, began_at, time.monotonic(), code=kind)
                )
            else:
                self._note(answer, title, began_at)

    async def _numbers(self) -> AsyncIterator[int]:
        while not self._stop.is_set():
            yield next(self._number)
            await asyncio.sleep(self._pause)

    def _note(self, answer: httpx.Response, title: str, began_at: float) -> None:
        method, status = answer.request.method, answer.status_code
        code = answer.json()["code"] if status >= 400 else ""
        self.answers.append(Answer(method, status, began_at, time.monotonic(), code, answer.headers.get("retry-after")))
        if method == "POST" and status == 201:
            self.written.acknowledged.add(title)
            del self.written.unknown[title]
