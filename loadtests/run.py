"""Run one load test against BASE_URL, or against a service that is started for it: `make load SCRIPT=load`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from loadtests.started import FOLDER, REPORTS, ROOT, started_service

VALUES = ROOT / "helm" / "tasks-service" / "values.yaml"
THRESHOLD_CROSSED = 99
ERRORS_SHOWN = 5
IN_PYTHON = {"streams": "loadtests.streams"}
"""What k6 cannot do, by the module that does it."""

DEFAULTS = {
    # k6 takes more of a processor for a request than the service does: beside it, only a slow database lets it treble
    # what the service can do.
    "overload": {"DATABASE_DELAY_MS": "50"},
    # A stream ends with its access token.
    "streams": {"JWT_ACCESS_TTL_SECONDS": "7200", "SIGNUPS_PER_ADDRESS_PER_MINUTE": "100000"},
}

GARBAGE_PERCENT = "400"
"""Go's own 100 suits programs that have little memory; k6 would spend an eighth of its processor's time on it."""


def main() -> int:
    scripts = sorted([*IN_PYTHON, *(path.stem for path in FOLDER.glob("*.js"))])
    if len(sys.argv) != 2 or sys.argv[1] not in scripts:  # noqa: PLR2004  the program and the script
        return _say(f"usage: make load SCRIPT=one of {' '.join(scripts)}", status=2)
    run = run_python if sys.argv[1] in IN_PYTHON else run_k6
    if run is run_k6 and shutil.which("k6") is None:
        if os.environ.get("CI") == "true":
            return _say("k6 is missing; get it with: make tools-k6", status=1)
        return _say("skipped, since k6 is missing; get it with: make tools-k6", status=0)
    env = {**os.environ, **objective(os.environ)}
    if env.get("BASE_URL"):
        return run(sys.argv[1], env)
    with started_service({**DEFAULTS.get(sys.argv[1], {}), **env}) as started:
        address = {"BASE_URL": started.url, "ADMIN_URL": started.admin_url, "URLS": " ".join(started.urls)}
        return run(sys.argv[1], {**env, **address})


def objective(env: Mapping[str, str]) -> dict[str, str]:
    """SLO_LATENCY_MS from the environment, else from the chart's values, else none: then the scripts' own holds."""
    if env.get("SLO_LATENCY_MS"):
        return {"SLO_LATENCY_MS": env["SLO_LATENCY_MS"]}
    values = VALUES.read_text() if VALUES.exists() else ""
    found = re.search(r"^slo:\n(?:[ #].*\n)*?  latencyMs: *(\d+)", values, re.MULTILINE)
    return {"SLO_LATENCY_MS": found[1]} if found else {}


def run_python(script: str, env: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", IN_PYTHON[script]]
    return _await(subprocess.Popen(command, cwd=ROOT, env={**env, "PYTHONPATH": str(ROOT)}))  # noqa: S603  our own program


def run_k6(script: str, env: Mapping[str, str]) -> int:
    """k6's exit status; a breakpoint that was found is no failure."""
    REPORTS.mkdir(exist_ok=True)
    log = REPORTS / "k6.log"  # a line for each request that fails: on the terminal it would bury the summary
    log.unlink(missing_ok=True)
    command = ["k6", "run", "--no-usage-report", f"--log-output=file={log}", str(FOLDER / f"{script}.js")]
    if not sys.stderr.isatty():
        command.append("--quiet")
    status = _await(subprocess.Popen(command, cwd=ROOT, env={"GOGC": GARBAGE_PERCENT, **env}))  # noqa: S603  k6, with a script of ours
    _say_errors(log)
    return 0 if script == "breakpoint" and status == THRESHOLD_CROSSED else status


def _await(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait()  # the terminal has told k6 as well, which still writes its summary
    finally:
        process.terminate()  # it has ended, unless we are being terminated


def _say_errors(log: Path) -> None:
    lines = log.read_text().splitlines() if log.exists() else []
    for line in [line for line in lines if "level=error" in line][:ERRORS_SHOWN]:
        print(line, file=sys.stderr)  # noqa: T201  this is for the person at the terminal


def _say(text: str, *, status: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201  this is for the person at the terminal
    return status


if __name__ == "__main__":
    sys.exit(main())
