"""The short variant of a test for `make test`, the long one for `make drills`, and the figures that it gave."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

DRILL = os.environ.get("DRILL") == "1"


def pick(short: T, long: T) -> T:
    return long if DRILL else short


def report(promise: str, **figures: float | str) -> None:
    """Add a line to the file that `make drills` shows at its end."""
    path = os.environ.get("DRILL_REPORT")
    if path:
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
        with Path(path).open("a") as lines:
            lines.write(f"{promise}: {json.dumps(rounded)}\n")


def eventually(condition: Callable[[], object], within_seconds: float = 10.0) -> float:
    """Wait until `condition` is true; returns after how many seconds. Fails when it stays false."""
    began_at = time.monotonic()
    while not condition():
        assert time.monotonic() - began_at < within_seconds, f"not true within {within_seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began_at


async def until(condition: Callable[[], object], within_seconds: float = 10.0) -> None:
    """Wait on the event loop until `condition` is true. Raises TimeoutError when it stays false."""
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110  what is watched has no event, or is another process's
            await asyncio.sleep(0.01)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
