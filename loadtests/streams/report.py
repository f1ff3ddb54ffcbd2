"""What a run of `streams` says at its end."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtests.streams.service import OwnCost, Pings
from loadtests.streams.settings import Settings
from loadtests.streams.verdict import Verdict
from loadtests.streams.writers import Written

DELIVERY_MAX_MS = 1000.0
"""Promised, whatever stands between service and database."""

SHOWN = 5


@dataclass
class Run:
    written: Written
    verdict: Verdict
    pings: dict[str, Pings]
    cost: OwnCost
    opened_in: float
    reconnections: int = 0
    samples: dict[str, dict[str, float]] = field(default_factory=dict)


def p(values: list[float], percent: int) -> float:
    """In milliseconds."""
    if len(values) < 2:  # noqa: PLR2004  what quantiles() needs
        return values[0] * 1000 if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] * 1000


def thresholds(run: Run, settings: Settings) -> list[tuple[bool, str, str]]:
    delivery, verdict = run.verdict.delivery, run.verdict
    write_times = [write.seconds for write in run.written.writes]
    ping_times = [seconds for pings in run.pings.values() for seconds in pings.seconds]
    failures = [*run.written.failures, *(text for pings in run.pings.values() for text in pings.failures)]
    slowest = max(delivery, default=float("nan")) * 1000
    return [
        (verdict.missed == 0, "missed: count==0", str(verdict.missed)),
        (verdict.twice == 0, "twice: count==0", str(verdict.twice)),
        (verdict.different == 0, "readers whose tasks are not the list's: count==0", str(verdict.different)),
        (verdict.events > 0, "events: count>0", str(verdict.events)),
        _below("delivery: p(95)", p(delivery, 95), settings.delivery_p95_ms),
        _below("delivery: max", slowest, DELIVERY_MAX_MS),
        _below("writes: p(95)", p(write_times, 95), settings.latency_ms),
        _below("others' requests: p(95)", p(ping_times, 95), settings.latency_ms),
        (not failures, "failed: count==0", str(len(failures))),
    ]


def _below(name: str, measured: float, limit: float) -> tuple[bool, str, str]:
    return measured < limit, f"{name}<{limit:g} ms", f"{measured:.1f}"


def lines(run: Run, settings: Settings) -> Iterable[str]:
    yield "streams: Does every reader hear of every change, once and in time?"
    yield (
        f"{' '.join(settings.urls)} · {settings.readers} readers, {settings.per_user} of each user ·"
        f" {settings.writers} writers · {settings.duration:g} s"
    )
    yield ""
    for ok, name, measured in thresholds(run, settings):
        yield f"{'passed' if ok else 'FAILED'}  {name} ({measured})"
    yield ""
    writes = [write.seconds for write in run.written.writes]
    yield from (_times("delivery", run.verdict.delivery), _times("writes", writes))
    for when, pings in run.pings.items():
        yield _times(f"a page of 20 tasks, {when}", pings.seconds)
    yield ""
    rates = (len(writes) / settings.duration, run.verdict.events / settings.duration)
    yield f"{rates[0]:.0f} writes and {rates[1]:.0f} events a second; all streams opened within {run.opened_in:.1f} s"
    yield f"streams that came back after they were cut off: {run.reconnections}"
    yield (
        f"this process: {run.cost.cores:.2f} cores;"
        f" {_times('lateness of its event loop, which is part of every time above', run.cost.lateness)}"
    )
    yield from _service(run.samples, settings)
    yield from run.written.failures[:SHOWN]
    yield from [text for pings in run.pings.values() for text in pings.failures][:SHOWN]


def _times(name: str, seconds: list[float]) -> str:
    figures = ", ".join(f"p{percent} {p(seconds, percent):.1f}" for percent in (50, 95, 99))
    return f"{name}: {figures}, max {max(seconds, default=float('nan')) * 1000:.1f} ms of {len(seconds)}"


def _service(samples: dict[str, dict[str, float]], settings: Settings) -> Iterable[str]:
    if not samples:
        return
    memory = {when: sample["process_resident_memory_bytes"] for when, sample in samples.items()}
    streams = samples["open"]["sync_streams"] or 1
    per_stream = (memory["open"] - memory["before"]) / streams / 1000
    yield (
        f"the service's memory: {' · '.join(f'{when} {value / 1e6:.1f} MB' for when, value in memory.items())};"
        f" {per_stream:.1f} kB for each of the {streams:.0f} streams that it has"
    )
    for name, begin, end, seconds in (
        ("while all streams were idle", "open", "idle", settings.idle),
        ("while changes were told", "idle", "written", settings.duration),
    ):
        spent = samples[end]["process_cpu_seconds_total"] - samples[begin]["process_cpu_seconds_total"]
        yield f"the service's processor {name}: {spent / seconds:.3f} cores"
