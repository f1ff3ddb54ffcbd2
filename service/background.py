"""Work beside the requests: started here by its name, logged and counted when it fails, and ended within its time."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from math import inf
from time import monotonic, time
from typing import Any, TypeVarTuple

import structlog

from service.telemetry.background_metrics import BackgroundMetrics, BackgroundTask

RESTART_FIRST_SECONDS = 0.5
RESTART_MAX_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0
"""Work that ran for so long before it failed is restarted as if it had never failed before."""

LOG_INTERVAL_SECONDS = 60.0
"""One line a minute for each task: thousands of connections can be repaired within a second, and all of it fail."""

log = structlog.get_logger()

Arguments = TypeVarTuple("Arguments")


class Background:
    """Tasks of one owner, who ends them all by `stop`. None of them sees the context of the request that started it."""

    def __init__(self, metrics: BackgroundMetrics) -> None:
        self._metrics = metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged: dict[BackgroundTask, tuple[float, int]] = {}  # when last, and how many failures since
        self._stopped = False

    def start(self, name: BackgroundTask, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Long-lived work: when it fails, or returns, it is started again after a while, a longer one each time."""
        self._create(name, self._restart_forever(name, work))

    def every(
        self,
        name: BackgroundTask,
        work: Callable[[], Coroutine[Any, Any, None]],
        *,
        seconds: float,
        jitter: float = 0.1,
        at_once: bool = False,
    ) -> None:
        """Periodic work: a round that fails is left to the next one.

        `jitter` is the part of the interval by which it varies, so that several pods spread out; `at_once` is for a
        first round before the first interval.
        """
        self._create(name, self._repeat_forever(name, work, partial(_spread, seconds, jitter), at_once=at_once))

    def spawn(
        self, name: BackgroundTask, work: Callable[[*Arguments], Coroutine[Any, Any, None]], *arguments: *Arguments
    ) -> None:
        """Work that is done once. What it leaves behind when it fails, or is cancelled by `stop`, is its own affair."""
        self._create(name, self._run_once(name, partial(work, *arguments)))

    async def stop(self, timeout_seconds: float) -> None:
        """Cancel everything, and take nothing on any more. Work that does not end in time is logged and left alone."""
        self._stopped = True
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=timeout_seconds)
            if stuck:
                log.error("background_task_stuck", tasks=sorted({task.get_name() for task in stuck}))

    def _create(self, name: BackgroundTask, work: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            work.close()
            return
        # In a context of its own: the caller's holds a request's id, its deadline, or the ORM's transaction.
        task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart_forever(self, name: BackgroundTask, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pause = RESTART_FIRST_SECONDS
        while True:
            began_at = monotonic()
            error = await _failure(work)
            if self._stopped:
                if error is not None:
                    self._failed(name, error, logging.ERROR)
                return
            if monotonic() - began_at > HEALTHY_AFTER_SECONDS:
                pause = RESTART_FIRST_SECONDS
            self._metrics.failed(name)
            log.error("background_task_ended", task=name, restart_seconds=pause, exc_info=error)
            await asyncio.sleep(_spread(pause, 0.25))
            pause = min(pause * 2, RESTART_MAX_SECONDS)

    async def _repeat_forever(
        self,
        name: BackgroundTask,
        work: Callable[[], Coroutine[Any, Any, None]],
        interval: Callable[[], float],
        *,
        at_once: bool,
    ) -> None:
        self._metrics.succeeded(name, time())  # a task that never succeeds is as late as one that no longer does
        if not at_once:
            await asyncio.sleep(interval())
        while not self._stopped:
            if (error := await _failure(work)) is None:
                self._metrics.succeeded(name, time())
            else:
                self._failed(name, error, logging.WARNING)
            await asyncio.sleep(interval())

    async def _run_once(self, name: BackgroundTask, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if (error := await _failure(work)) is not None:
            self._failed(name, error, logging.ERROR)

    def _failed(self, name: BackgroundTask, error: BaseException, level: int) -> None:
        self._metrics.failed(name)
        logged_at, failures = self._logged.get(name, (-inf, 0))
        failures += 1
        if monotonic() - logged_at > LOG_INTERVAL_SECONDS:
            log.log(level, "background_task_failed", task=name, failures=failures, exc_info=error)
            logged_at, failures = monotonic(), 0
        self._logged[name] = (logged_at, failures)


async def _failure(work: Callable[[], Coroutine[Any, Any, None]]) -> BaseException | None:
    """Run it to its end, and return what ended it."""
    try:
        await work()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return error  # of something that it waited for: nobody has asked the task itself to end
    except Exception as error:  # noqa: BLE001  whatever it was, the caller logs and counts it
        return error
    return None


def _spread(seconds: float, jitter: float) -> float:
    return seconds * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311  jitter
