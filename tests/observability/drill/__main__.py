"""Play the faults, print what each panel showed, draw the picture. Exit 1 when a panel did not do its part."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from service.database.embedded import embedded_postgres
from tests.observability.chart import render
from tests.observability.drill.faults import Scene
from tests.observability.drill.picture import draw
from tests.observability.drill.timeline import Board, Verdict, judge, play
from tests.observability.live import watched
from tests.support.database import ROOT, Database
from tests.support.users import sign_up

PICTURE = ROOT / "docs" / "images" / "drill.svg"
SETTINGS = {
    "DB_POOL_MIN": "4",
    "DB_POOL_MAX": "4",
    "DB_POOL_ACQUIRE_TIMEOUT_SECONDS": "0.5",
    "CONCURRENT_REQUESTS_PER_USER": "100",  # one user stands for many
    "LOG_LEVEL": "warning",
}


def line(verdict: Verdict) -> str:
    expected = verdict.expectation
    wanted = [f"> {expected.above}"] if expected.above is not None else []
    wanted += [f"< {expected.below}"] if expected.below is not None else []
    series = ", ".join(f"{name}={value}" for name, value in expected.series)
    panel = f"{expected.panel} {series and f'({series})'}".strip()
    mark = "ok  " if verdict.holds else "FAIL"
    figures = f"{verdict.before:9.4f} {verdict.during:9.4f}  {' '.join(wanted):8}"
    return f"{mark} {verdict.fault:20} {figures} {panel}"


def main() -> int:
    rendered = render()
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        embedded_postgres(Path(folder) / "postgres", {"fsync": "off"}) as postgres,
    ):
        database = Database.create(postgres.url("postgres"), "tasks")
        database.upgrade()
        with (
            watched(database.url, Path(folder), rendered.rules, SETTINGS) as stack,
            sign_up(stack.service.url) as user,
        ):
            start = time.time()
            spans = asyncio.run(play(Scene(stack, postgres, user)))
            board = Board(rendered, stack)
            verdicts = list(judge(board, spans))
            draw(board, spans, start, time.time(), PICTURE)
    say("     fault                   before    during  expected panel")
    for verdict in verdicts:
        say(line(verdict))
    say(f"drew {PICTURE.relative_to(ROOT)}")
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
