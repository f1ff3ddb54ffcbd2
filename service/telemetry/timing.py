"""Where one request's time goes: what its way through the code reports here ends in metrics, log, header and trace."""

from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Literal, Protocol

Phase = Literal["auth", "pool", "db"]


class SpanSink(Protocol):
    """Takes what has just been finished as a span of the request's trace; times in nanoseconds since the epoch."""

    def finished(self, name: str, started_ns: int, ended_ns: int) -> None: ...


class Timing:
    """Seconds of one request by phase; what remains of its whole is the application's own."""

    __slots__ = ("auth", "db", "pool", "spans", "started_at")

    def __init__(self, started_at: float, spans: SpanSink | None = None) -> None:
        """`started_at` is a reading of `perf_counter`."""
        self.started_at = started_at
        self.auth = self.pool = self.db = 0.0
        self.spans = spans

    def header(self) -> str:
        """`Server-Timing`, in milliseconds, of the request so far."""
        seconds = perf_counter() - self.started_at
        phases = {"auth": self.auth, "pool": self.pool, "db": self.db, "app": self.app(seconds)}
        return ", ".join(f"{name};dur={value * 1000:.2f}" for name, value in phases.items())

    def app(self, seconds: float) -> float:
        return max(seconds - self.auth - self.pool - self.db, 0.0)


_current: ContextVar[Timing | None] = ContextVar("timing", default=None)


def begin(timing: Timing) -> None:
    """From here on, what this connection's task spends is this request's."""
    _current.set(timing)


def spent(phase: Phase, name: str, seconds: float) -> None:
    """Report what has just ended; outside a request it counts nowhere."""
    timing = _current.get()
    if timing is None:
        return
    setattr(timing, phase, getattr(timing, phase) + seconds)
    if timing.spans is not None:
        ended = time_ns()
        timing.spans.finished(name, ended - int(seconds * 1e9), ended)
