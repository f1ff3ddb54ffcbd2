"""Draw the main panels from what Prometheus returned, as Grafana would lay them out."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from tests.observability.chart import Object
from tests.observability.drill.timeline import Board, Span
from tests.observability.live import Sample

PANELS = (
    "Answers 5xx",
    "Duration, all routes",
    "Mean time of a request, by phase",
    "Event loop lag p99, by pod",
    "Connections by state",
    "Requests waiting for a connection",
    "Time to get a connection",
    "Query time p95, by operation",
)
UNITS = {"s": "seconds", "reqps": "requests/s", "ops": "per second", "none": ""}
LIMITS = {"objective": "tab:red", "ceiling": "tab:orange"}
COLUMNS = 2
INCHES = (13, 13)
MOST_LABELS = 6
# Without these every run writes other ids and another date, and the picture differs though the data do not.
REPRODUCIBLE: dict[RcKeyType, Any] = {"svg.hashsalt": "tasks-service", "svg.fonttype": "none", "font.size": 9}


def draw(board: Board, spans: list[Span], start: float, end: float, path: Path) -> None:
    with mpl.rc_context(REPRODUCIBLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        figure.suptitle("One fault at a time, seen by the dashboard's own queries", fontsize=13)
        rows = len(PANELS) // COLUMNS
        for place, title in enumerate(PANELS, start=1):
            axes = figure.add_subplot(rows, COLUMNS, place)
            _draw_panel(axes, board, title, spans, (start, end))
            if place > len(PANELS) - COLUMNS:
                axes.set_xlabel("seconds since the start of the drill")
        figure.savefig(path, metadata={"Date": None})


def _draw_panel(axes: Axes, board: Board, title: str, spans: list[Span], period: tuple[float, float]) -> None:
    panel = board.panel(title)
    start, end = period
    axes.set_title(title, loc="left", fontweight="bold", fontsize=10)
    axes.set_ylabel(UNITS[panel["fieldConfig"]["defaults"]["unit"]])
    stacked: list[tuple[str, Sample]] = []
    for target in panel["targets"]:
        for sample in board.series(title, target["refId"], start, end):
            label = _legend(target["legendFormat"], sample.labels)
            if label in LIMITS:
                axes.plot(*_curve(sample, start), "--", color=LIMITS[label], label=label, linewidth=1.2)
            elif _is_stacked(panel):
                stacked.append((label, sample))
            else:
                axes.plot(*_curve(sample, start), label=label, linewidth=1.4)
    if stacked:
        _draw_stack(axes, stacked, start)
    for span in spans:
        axes.axvspan(span.start - start, span.end - start, color="tab:gray", alpha=0.15, linewidth=0)
        middle = (span.start + span.end) / 2 - start
        axes.text(
            middle, 0.98, span.fault.name, ha="center", va="top", fontsize=8, transform=axes.get_xaxis_transform()
        )
    axes.set_xlim(0, end - start)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.15)
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[:MOST_LABELS], labels[:MOST_LABELS], loc="center left", fontsize=8, framealpha=0.7)


def _draw_stack(axes: Axes, parts: list[tuple[str, Sample]], start: float) -> None:
    """Series may begin at different times: a part that is not there yet has the height 0."""
    times = sorted({time for _, sample in parts for time, _ in sample.points})
    heights = [[dict(sample.points).get(time, 0.0) for time in times] for _, sample in parts]
    axes.stackplot([t - start for t in times], heights, labels=[label for label, _ in parts], alpha=0.7)


def _curve(sample: Sample, start: float) -> tuple[list[float], list[float]]:
    return [time - start for time, _ in sample.points], [value for _, value in sample.points]


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), pattern)


def _is_stacked(panel: Object) -> bool:
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    return bool(custom.get("stacking", {}).get("mode") == "normal")
