"""Work beside the requests is seen when it fails, comes back, and ends within its time."""

import asyncio
import time
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from service import background
from service.background import Background
from service.telemetry.background_metrics import BackgroundMetrics
from tests.support.drill import until

Events = list[MutableMapping[str, Any]]
REQUEST_ID = ContextVar("request_id", default="none")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def work(registry: CollectorRegistry) -> Background:
    return Background(BackgroundMetrics(registry))


@pytest.fixture
def events() -> Iterator[Events]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture(autouse=True)
def quick_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RESTART_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(background, "RESTART_MAX_SECONDS", 0.01)


def failures(registry: CollectorRegistry, task: str) -> float | None:
    return registry.get_sample_value("background_task_failures_total", {"task": task})


def last_success(registry: CollectorRegistry, task: str) -> float | None:
    return registry.get_sample_value("background_task_last_success_timestamp_seconds", {"task": task})


class Rounds:
    """Counts how often it was run, and fails as it is told."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self._outcomes = list(outcomes)
        self._changed = asyncio.Event()
        self.run = 0

    async def __call__(self) -> None:
        self.run += 1
        self._changed.set()
        if self._outcomes and (outcome := self._outcomes.pop(0)) is not None:
            raise outcome

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.run < count:
                self._changed.clear()
                await self._changed.wait()


async def test_long_lived_work_that_fails_or_returns_is_started_again(
    work: Background, registry: CollectorRegistry, events: Events
) -> None:
    rounds = Rounds(RuntimeError("a bug"), None, RuntimeError("a bug"))
    work.start("event_loop_watch", rounds)
    await rounds.reach(4)
    await work.stop(1)
    assert failures(registry, "event_loop_watch") in {3, 4}
    assert events[0]["event"] == "background_task_ended"
    assert events[0]["task"] == "event_loop_watch"
    assert isinstance(events[0]["exc_info"], RuntimeError)
    pauses = [event["restart_seconds"] for event in events[:3]]
    assert pauses == [0.001, 0.002, 0.004], "further apart each time"


async def test_work_whose_inner_wait_was_cancelled_is_started_again(
    work: Background, registry: CollectorRegistry
) -> None:
    rounds = Rounds(asyncio.CancelledError())
    work.start("event_loop_watch", rounds)
    await rounds.reach(2)
    await work.stop(1)
    assert failures(registry, "event_loop_watch") in {1, 2}


async def test_a_round_that_fails_is_left_to_the_next_one(
    work: Background, registry: CollectorRegistry, events: Events
) -> None:
    began_at = time.time()
    rounds = Rounds(OSError(), OSError(), None, OSError())
    work.every("schema_watch", rounds, seconds=0.001, at_once=True)
    await rounds.reach(6)
    await work.stop(1)
    assert failures(registry, "schema_watch") == 3
    success = last_success(registry, "schema_watch")
    assert success is not None
    assert began_at <= success <= time.time()
    assert [(e["event"], e["log_level"]) for e in events] == [("background_task_failed", "warning")], "one a minute"


async def test_work_that_never_succeeds_is_as_late_as_its_start(work: Background, registry: CollectorRegistry) -> None:
    rounds = Rounds(OSError(), OSError(), OSError())
    began_at = time.time()
    work.every("schema_watch", rounds, seconds=0.001)
    await rounds.reach(1)
    success = last_success(registry, "schema_watch")
    await rounds.reach(3)
    assert success is not None
    assert success >= began_at
    assert last_success(registry, "schema_watch") == success
    await work.stop(1)


async def test_work_that_is_done_once_is_seen_when_it_fails(
    work: Background, registry: CollectorRegistry, events: Events
) -> None:
    async def divide(by: int) -> None:
        assert 1 / by

    for _ in range(3):
        work.spawn("pool_repair", divide, 0)
    await until(lambda: failures(registry, "pool_repair") == 3)
    assert [(e["event"], e["task"], e["failures"], e["log_level"]) for e in events] == [
        ("background_task_failed", "pool_repair", 1, "error")
    ]
    assert isinstance(events[0]["exc_info"], ZeroDivisionError)
    await work.stop(1)


async def test_no_task_sees_the_context_it_was_started_in(work: Background) -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read_context() -> None:
        seen.set_result(REQUEST_ID.get())

    REQUEST_ID.set("a request's")
    work.spawn("pool_repair", read_context)
    assert await seen == "none"


async def test_stop_ends_all_and_takes_nothing_on(work: Background, events: Events) -> None:
    rounds, asleep = Rounds(), asyncio.Event()
    ended: list[str] = []

    async def sleep(name: str) -> None:
        asleep.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(name)

    work.spawn("pool_repair", sleep, "once")
    work.start("event_loop_watch", lambda: sleep("for ever"))
    work.every("schema_watch", lambda: sleep("regularly"), seconds=60, at_once=True)
    await asleep.wait()
    await work.stop(10)
    assert sorted(ended) == ["for ever", "once", "regularly"]
    work.spawn("pool_repair", rounds)
    work.start("event_loop_watch", rounds)
    await asyncio.sleep(0.01)
    assert (rounds.run, events) == (0, [])


async def test_work_that_will_not_end_is_left_behind_in_time(work: Background, events: Events) -> None:
    release, asleep = asyncio.Event(), asyncio.Event()

    async def stay() -> None:
        asleep.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    work.spawn("pool_close", stay)
    await asleep.wait()
    began_at = time.monotonic()
    await work.stop(0.05)
    assert time.monotonic() - began_at < 5
    assert [(e["event"], e["tasks"]) for e in events] == [("background_task_stuck", ["pool_close"])]
    release.set()


async def test_work_that_fails_while_it_is_ended_is_seen_too(
    work: Background, registry: CollectorRegistry, events: Events
) -> None:
    asleep = asyncio.Event()

    async def fail_at_the_end() -> None:
        asleep.set()
        try:
            await asyncio.sleep(60)
        finally:
            raise RuntimeError("a bug")

    work.start("event_loop_watch", fail_at_the_end)
    await asleep.wait()
    await work.stop(1)
    assert failures(registry, "event_loop_watch") == 1
    assert [e["event"] for e in events] == ["background_task_failed"]
