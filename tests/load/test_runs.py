"""The scripts at work on a real service."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.run import objective
from tests.support.database import ROOT
from tests.support.server import Service
from tests.support.tools import require

CROSSED = 99
ROOMY = "5000"


def run(script: str, service: Service, reports: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("k6"), "run", "--quiet", "--no-usage-report", "--address", "", f"loadtests/{script}.js"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "BASE_URL": service.url,
            "ADMIN_URL": service.admin_url,
            "REPORT_DIR": str(reports),
            "SLO_LATENCY_MS": ROOMY,
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_journey_works_and_its_report_needs_nothing_else(service: Service, tmp_path: Path) -> None:
    done = run("smoke", service, tmp_path, REPORT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert re.search(r"pool: at most \d+ of 20 connections", done.stdout)
    (report,) = tmp_path.glob("smoke-*.html")
    page = report.read_text()
    assert "<svg" in page
    assert "NaN" not in page
    assert not re.search(r"<(script|link|img)|(src|href|url)\s*[=(]", page)


def test_an_objective_that_is_missed_fails_the_run(service: Service, tmp_path: Path) -> None:
    done = run("smoke", service, tmp_path, SLO_LATENCY_MS="0.01")
    assert done.returncode == CROSSED
    assert re.search(r"FAILED +http_req_duration\{target:tasks\}: p\(95\)<0\.01", done.stdout)


def test_pollers_hear_of_changes_and_of_nothing_else(service: Service, tmp_path: Path) -> None:
    done = run("polling", service, tmp_path, USERS="2", RATE="10", POLLS="60", DURATION="3s")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) % of the pollers' requests were answered with 304", done.stdout)
    assert found is not None, done.stdout
    assert 30 < int(found[1]) < 100


def test_a_burst_of_creates_is_counted_in_the_database(service: Service, tmp_path: Path) -> None:
    done = run("create-burst", service, tmp_path, VUS="5", ROUNDS="2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"create +10 ", done.stdout)


def test_a_breakpoint_that_is_not_the_services_is_told_apart(service: Service, tmp_path: Path) -> None:
    done = run(
        "breakpoint", service, tmp_path, SLO_LATENCY_MS="0.01", USERS="2", START="20", MAX="20", STEP_SECONDS="3"
    )
    assert done.returncode == CROSSED, done.stdout + done.stderr
    assert re.search(r"^ +20 +\d+ .* too slow$", done.stdout, re.MULTILINE)
    assert "capacity: 0 requests per second (20 was too much)" in done.stdout
    assert re.search(r"the service was not at its limit, with at most [\d.]+ cores and \d+ connections", done.stdout)


def test_a_service_that_answers_wrongly_fails_the_run(service: Service, tmp_path: Path) -> None:
    """The admin port knows none of the routes: not even setup() may pass over that."""
    done = run("load", service, tmp_path, BASE_URL=service.admin_url, VUS="2", DURATION="1s")
    assert done.returncode not in (0, CROSSED)
    assert "sign-up answered 404" in done.stderr


@pytest.mark.parametrize("core", ["999", "-1", "zero", "0,1"])
def test_a_core_that_is_not_there_is_refused_before_anything_starts(core: str) -> None:
    k6 = Path(require("k6"))
    done = subprocess.run(
        [sys.executable, ROOT / "loadtests" / "run.py", "smoke"],
        env={"PATH": f"{k6.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SERVICE_CORE": core},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"SERVICE_CORE={core} is none of several cores")


def test_an_objective_of_the_environment_wins_over_the_charts() -> None:
    assert objective({"SLO_LATENCY_MS": "70"}) == {"SLO_LATENCY_MS": "70"}
