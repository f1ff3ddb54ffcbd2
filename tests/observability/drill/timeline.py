"""Run the faults one after the other, and judge what the dashboard's own queries returned."""

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.observability.chart import NAMESPACE, POD, Object, Rendered, panels
from tests.observability.drill.faults import FAULTS, Expectation, Fault, Scene, background, fill
from tests.observability.live import Sample, Stack
from tests.observability.promql import filled

CALM_SECONDS = 12.0
FAULT_SECONDS = 12.0
# How far rates look back, and so how long a fault is still seen after its end.
SETTLE_SECONDS = 4.0


@dataclass(frozen=True)
class Span:
    fault: Fault
    start: float
    end: float


@dataclass(frozen=True)
class Verdict:
    fault: str
    expectation: Expectation
    before: float
    during: float

    @property
    def holds(self) -> bool:
        above, below = self.expectation.above, self.expectation.below
        return (above is None or self.during > above) and (below is None or self.during < below)


@dataclass(frozen=True)
class Board:
    """The chart's dashboard, asked of the drill's Prometheus."""

    rendered: Rendered
    stack: Stack

    def panel(self, title: str) -> Object:
        (found,) = (panel for panel in panels(self.rendered.dashboard) if panel["title"] == title)
        return found

    def series(self, title: str, ref: str, start: float, end: float) -> list[Sample]:
        (target,) = (t for t in self.panel(title)["targets"] if t["refId"] == ref)
        variables = {
            **self.rendered.constants,
            "namespace": NAMESPACE,
            "pod": POD,
            "__rate_interval": f"{SETTLE_SECONDS:.0f}s",
        }
        return self.stack.prometheus.query_range(filled(target["expr"], variables), start, end)


async def play(scene: Scene) -> list[Span]:
    """Take about two minutes."""
    await fill(scene)
    spans = []
    async with background(scene):
        await asyncio.sleep(CALM_SECONDS)
        for fault in FAULTS:
            start = time.time()
            async with fault.inject(scene):
                await asyncio.sleep(FAULT_SECONDS)
                spans.append(Span(fault, start, time.time()))
            await asyncio.sleep(CALM_SECONDS)
    return spans


def judge(board: Board, spans: list[Span]) -> Iterator[Verdict]:
    for span in spans:
        for expected in span.fault.expected:
            before = _extreme(board, expected, span.start - CALM_SECONDS + SETTLE_SECONDS, span.start)
            during = _extreme(board, expected, span.start, span.end)
            yield Verdict(span.fault.name, expected, before, during)


def _extreme(board: Board, expected: Expectation, start: float, end: float) -> float:
    wanted = dict(expected.series)
    chosen = [
        value
        for sample in board.series(expected.panel, expected.ref, start, end)
        if wanted.items() <= sample.labels.items()
        for _, value in sample.points
        if not math.isnan(value)
    ]
    if not chosen:
        return math.nan
    return min(chosen) if expected.falls else max(chosen)
