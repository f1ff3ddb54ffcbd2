"""What measures for many minutes, for some seconds: it still runs, and says what it is there to say."""

import os
import re
import subprocess
import sys

import pytest

from loadtests.growth.pages import LISTS, MIDDLES
from tests.support.database import ROOT

CROSSED = 99


def run(module: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "FSYNC": "off", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def rows(text: str) -> dict[str, list[str]]:
    """Of all tables: each row's cells by its first one."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def test_growth_asks_for_every_kind_of_page() -> None:
    done = run("loadtests.growth", SIZES="100 1000", OTHERS="1000", ROUNDS="20")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    beside = {"labels", "unchanged list (304)", "changes: first page of all", "changes: middle page of all"}
    beside |= {"changes: 20 deletions", "changes: nothing new", "trash", "trash, middle page", "trash, emptied"}
    wanted = {*LISTS, *MIDDLES, *beside}
    assert wanted <= set(found)
    assert all(re.fullmatch(r"[\d.]+ \([\d.]+\), [\d,]+", cell) for name in wanted for cell in found[name])


@pytest.mark.parametrize("since", ["10", "13"])
def test_a_migration_is_timed_while_the_old_release_serves(since: str) -> None:
    done = run("loadtests.migration", TASKS="2000", FROM=since, QUIET_SECONDS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2,000 tasks in revision {since}" in done.stdout
    assert re.search(r"^16_\w+\.py: [\d.]+ s$", done.stdout, re.MULTILINE)
    assert re.search(r"^reads during: p50 [\d.]+, p95 [\d.]+, p99 [\d.]+", done.stdout, re.MULTILINE)
    assert re.search(r"^writes during: p50 [\d.]+", done.stdout, re.MULTILINE)
    assert "passed  every user's tasks are counted" in done.stdout


def test_the_cost_of_an_index_is_compared_by_statement() -> None:
    done = run("loadtests.index_cost", TASKS="1000", ROUNDS="3")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    for statement in ("create", "create, with due day and priority", "toggle", "change of due day and priority"):
        assert len(found[statement]) == 4
        wal = [float(cell.split(", ")[2]) for cell in found[statement]]
        assert wal[0] > wal[-1], "an index that is kept up to date is written to the log"
