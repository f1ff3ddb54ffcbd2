"""Run one k6 script against BASE_URL, or against a service that is started for it: `make load SCRIPT=load`."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from service.database.embedded import embedded_postgres

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
REPORTS = FOLDER / "reports"
VALUES = ROOT / "helm" / "tasks-service" / "values.yaml"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
THRESHOLD_CROSSED = 99
ERRORS_SHOWN = 5


def main() -> int:
    scripts = sorted(path.stem for path in FOLDER.glob("*.js"))
    if len(sys.argv) != 2 or sys.argv[1] not in scripts:  # noqa: PLR2004  the program and the script
        return _say(f"usage: make load SCRIPT=one of {' '.join(scripts)}", status=2)
    if shutil.which("k6") is None:
        if os.environ.get("CI") == "true":
            return _say("k6 is missing; get it with: make tools-k6", status=1)
        return _say("skipped, since k6 is missing; get it with: make tools-k6", status=0)
    env = {**os.environ, **objective(os.environ)}
    if env.get("BASE_URL"):
        return run_k6(sys.argv[1], env)
    with started_service(env) as addresses:
        return run_k6(sys.argv[1], {**env, **addresses})


def objective(env: Mapping[str, str]) -> dict[str, str]:
    """SLO_LATENCY_MS from the environment, else from the chart's values, else none: then the scripts' own holds."""
    if env.get("SLO_LATENCY_MS"):
        return {"SLO_LATENCY_MS": env["SLO_LATENCY_MS"]}
    values = VALUES.read_text() if VALUES.exists() else ""
    found = re.search(r"^slo:\n(?:[ #].*\n)*?  latencyMs: *(\d+)", values, re.MULTILINE)
    return {"SLO_LATENCY_MS": found[1]} if found else {}


def run_k6(script: str, env: Mapping[str, str]) -> int:
    """k6's exit status; a breakpoint that was found is no failure."""
    REPORTS.mkdir(exist_ok=True)
    log = REPORTS / "k6.log"  # a line for each request that fails: on the terminal it would bury the summary
    log.unlink(missing_ok=True)
    command = ["k6", "run", "--no-usage-report", f"--log-output=file={log}", str(FOLDER / f"{script}.js")]
    if not sys.stderr.isatty():
        command.append("--quiet")
    process = subprocess.Popen(command, cwd=ROOT, env=env)  # noqa: S603
    try:
        status = process.wait()
    except KeyboardInterrupt:
        status = process.wait()  # the terminal has told k6 as well, which still writes its summary
    _say_errors(log)
    return 0 if script == "breakpoint" and status == THRESHOLD_CROSSED else status


def _say_errors(log: Path) -> None:
    lines = log.read_text().splitlines() if log.exists() else []
    for line in [line for line in lines if "level=error" in line][:ERRORS_SHOWN]:
        print(line, file=sys.stderr)  # noqa: T201


@contextmanager
def started_service(env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A migrated database that is thrown away afterwards, and the service as shipped; gives its addresses."""
    port, admin_port = str(_free_port()), str(_free_port())
    with (
        tempfile.TemporaryDirectory(prefix="tasks-load-") as folder,
        embedded_postgres(Path(folder) / "data") as server,
    ):
        server.create_database("tasks")
        settings = {
            **env,
            "DATABASE_URL": server.url(),
            "JWT_SECRET": secrets.token_urlsafe(48),
            "HOST": "127.0.0.1",
            "PORT": port,
            "ADMIN_PORT": admin_port,
            "DRAIN_SECONDS": "0",
        }
        service = [sys.executable, "-m", "service"]
        subprocess.run([*service, "migrate", "upgrade"], cwd=ROOT, env=settings, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        REPORTS.mkdir(exist_ok=True)
        with (REPORTS / "service.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603
                [*service, "serve"], cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True
            )
        try:
            admin_url = f"http://127.0.0.1:{admin_port}"
            _await_ready(process, f"{admin_url}/readyz")
            yield {"BASE_URL": f"http://127.0.0.1:{port}", "ADMIN_URL": admin_url}
        finally:
            _stop(process)


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own address
                return
        except (URLError, TimeoutError):
            time.sleep(0.05)
    sys.exit(f"the service did not start; see {REPORTS / 'service.log'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str, *, status: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201  this is for the person at the terminal
    return status


if __name__ == "__main__":
    sys.exit(main())
