"""What a run can be told by its environment."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

UNITS = {"h": 3600, "m": 60, "s": 1}
SLO_LATENCY_MS = 200.0
DELIVERY_P95_MS = 100.0
"""Promised where the database can notify; behind a transaction pooler every change is within a second."""


@dataclass(frozen=True, slots=True)
class Settings:
    urls: list[str]
    admin_url: str
    readers: int
    per_user: int
    writers: int
    writes_per_second: float
    duration: float
    idle: float
    latency_ms: float
    delivery_p95_ms: float

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> Self:
        """Ends the program when one makes no sense."""
        writers = int(_number(env, "WRITERS", 50))
        return cls(
            urls=(env.get("URLS") or env.get("BASE_URL") or "http://127.0.0.1:8000").split(),
            admin_url=env.get("ADMIN_URL", ""),
            readers=int(_number(env, "READERS", 2000)),
            per_user=int(_number(env, "READERS_PER_USER", 10)),
            writers=writers,
            writes_per_second=_number(env, "WRITES", writers),
            duration=_seconds(env.get("DURATION") or "1m"),
            idle=_number(env, "IDLE_SECONDS", 10),
            latency_ms=_number(env, "SLO_LATENCY_MS", SLO_LATENCY_MS),
            delivery_p95_ms=_number(env, "DELIVERY_P95_MS", DELIVERY_P95_MS),
        )


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    try:
        value = float(env.get(name) or default)
    except ValueError:
        value = 0
    if not 0 < value < float("inf") or (name in {"READERS", "WRITERS", "READERS_PER_USER"} and value < 1):
        sys.exit(f"{name} must be a number above 0")
    return value


def _seconds(text: str) -> float:
    parts = re.findall(r"(\d+)([hms])", text)
    if "".join(map("".join, parts)) != text or not (seconds := sum(int(n) * UNITS[unit] for n, unit in parts)):
        sys.exit("DURATION must look like 90s or 1h30m")
    return float(seconds)
