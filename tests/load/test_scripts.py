"""The k6 scripts: what each one says about itself, and that k6 can read it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests.run import IN_PYTHON
from tests.support.database import ROOT
from tests.support.tools import require

SCRIPTS = sorted((ROOT / "loadtests").glob("*.js"))
MODULES = [*SCRIPTS, *sorted((ROOT / "loadtests" / "lib").glob("*.js"))]
EXPECTED = {
    "breakpoint",
    "create-burst",
    "load",
    "login-ramp",
    "noisy-neighbour",
    "overload",
    "polling",
    "smoke",
    "soak",
    "spike",
}
# Its objective is a share of goodput and a limit for refusals, as promised; latency of what is served is not promised.
WITHOUT_LATENCY = {"overload"}

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)


def inspect(script: Path) -> dict[str, Any]:
    """The options of a script, as k6 understands it, with an objective of 137 ms and an admin port."""
    done = subprocess.run(
        [require("k6"), "inspect", "--include-system-env-vars", script],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "SLO_LATENCY_MS": "137",
            "ADMIN_URL": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    return dict(json.loads(done.stdout))


def test_every_question_has_its_script() -> None:
    assert {path.stem for path in SCRIPTS} == EXPECTED


@each_script
def test_a_script_begins_with_the_question_it_answers(script: Path) -> None:
    assert re.match(r"// [A-Z].*\?\n", script.read_text())


@each_module
def test_nothing_is_imported_from_elsewhere(module: Path) -> None:
    for source in re.findall(r"(?:from|import|import\(|require\() *['\"]([^'\"]+)['\"]", module.read_text()):
        assert re.fullmatch(r"k6(/\w+)?|\./(lib/)?\w+\.js", source), source


@each_module
def test_the_objective_is_written_in_one_place(module: Path) -> None:
    assert ("SLO_LATENCY_MS" in module.read_text()) == (module.name == "slo.js")


@each_script
def test_k6_reads_the_script_and_its_latency_limit_is_the_objective(script: Path) -> None:
    options = inspect(script)
    thresholds = json.dumps(options["thresholds"])
    latencies = re.findall(r"p\(95\)<(\d+)", thresholds)
    if script.stem == "breakpoint":
        assert "too_slow{step:0}" in thresholds
    elif script.stem not in WITHOUT_LATENCY:
        assert latencies
    assert set(latencies) <= {"137"}
    assert "rate==1" in thresholds, "what came back is checked"
    assert "pool" in options["scenarios"], "the pool is sampled beside it"


def test_a_script_is_documented() -> None:
    page = (ROOT / "docs" / "load-testing.md").read_text()
    expected = EXPECTED | set(IN_PYTHON)
    assert {name for name in expected if f"| `{name}` |" in page} == expected


def test_settings_of_a_script_are_documented() -> None:
    page = (ROOT / "docs" / "load-testing.md").read_text()
    text = "".join(path.read_text() for path in [*MODULES, *(ROOT / "loadtests" / "streams").glob("*.py")])
    names = {
        *re.findall(r"number\('(\w+)'", text),
        *re.findall(r"__ENV\.(\w+)", text),
        *re.findall(r"""_number\(env, "(\w+)\"""", text),
    }
    assert {"POLLS", "READERS"} <= names
    assert {name for name in names if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_missing_k6_fails_only_in_ci_and_says_how_to_get_it(tmp_path: Path, ci: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "loadtests" / "run.py", "smoke"],
        env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == status
    assert "make tools-k6" in done.stderr
