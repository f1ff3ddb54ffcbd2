"""The service as its users meet it: a process of its own that listens on a port."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.support.database import ROOT, bare_environment, run_sql

SECRET = "a secret for tests that is long enough"
START_SECONDS = 60.0


class Service:
    """`python -m service serve`; `settings` are environment variables beside the database's URL."""

    def __init__(self, database_url: str, settings: dict[str, str] | None = None) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.environment = {
            **bare_environment(),
            "DATABASE_URL": database_url,
            "JWT_SECRET": SECRET,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "ADMIN_PORT": str(self.admin_port),
            "DRAIN_SECONDS": "0",
            **(settings or {}),
        }
        self._log = Path(tempfile.mkstemp(prefix="tasks-service-", suffix=".log")[1])
        self.root = ROOT
        self.command = [sys.executable, "-W", "error::ResourceWarning", "-m", "service", "serve"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, stdout: int | None = None) -> None:
        """Returns when it is ready for traffic. `stdout` is a descriptor to write to instead of the log."""
        self.spawn(stdout)
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the service did not start:\n{self.log()[-3000:]}")
            time.sleep(0.03)

    def spawn(self, stdout: int | None = None) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.root,
                env=self.environment,
                stdout=log if stdout is None else stdout,
                stderr=log,
            )

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.admin_url}/readyz", timeout=2, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Returns the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def log(self) -> str:
        """All that it has logged; lines go out a tenth of a second late."""
        time.sleep(0.2)
        return self._log.read_text(encoding="utf-8", errors="replace")

    def metrics(self) -> str:
        return httpx.get(f"{self.admin_url}/metrics", timeout=5, verify=False).text

    def series(self) -> set[str]:
        """Without the statements' own: one of work in the background may run for the first time at any moment."""
        lines = (line for line in self.metrics().splitlines() if not line.startswith("#"))
        return {line.rpartition(" ")[0] for line in lines if 'operation="' not in line}

    def connections(self) -> list[tuple[str, str]]:
        """State and last statement of each of its connections, as the database server sees them."""
        assert self.process is not None
        name = urlsplit(self.environment["DATABASE_URL"]).path.removeprefix("/")
        rows = run_sql(
            self.environment["DATABASE_URL"],
            "SELECT state, query FROM pg_stat_activity WHERE application_name = 'tasks-service' AND datname = $1",
            name,
        )
        return [(row["state"], row["query"]) for row in rows]

    def metric(self, sample: str) -> float:
        """The value of one sample, such as `db_pool_connections{state="idle"}`; 0 when there is none."""
        for line in self.metrics().splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return 0.0


@contextmanager
def serve(database_url: str, **settings: str) -> Iterator[Service]:
    running = Service(database_url, settings)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
