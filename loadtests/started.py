"""A service to put under load: as shipped, in front of a PostgreSQL of its own that is thrown away afterwards."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.slow_database import slowed
from service.database.embedded import EmbeddedPostgres, embedded_postgres
from service.database.postgres_programs import without_libpq
from service.processes import end

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
REPORTS = FOLDER / "reports"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
SERVICE = (sys.executable, "-m", "service")
TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Started:
    """Of several processes `url`, `admin_url` and `process` are the first one's; `urls` has all of them."""

    urls: tuple[str, ...]
    admin_url: str
    database_url: str
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return self.urls[0]


@contextmanager
def started_service(env: Mapping[str, str]) -> Iterator[Started]:
    """Four settings in `env` change the conditions.

    `SERVICE_CORE` gives the service a core of its own, and all else here, PostgreSQL too, the others;
    `DATABASE_DELAY_MS` lets each answer of PostgreSQL take so long; `PODS` is how many processes there are;
    `FSYNC=off` lets commits not wait for the disk.
    """
    (REPORTS / "service.log").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # what was started here ends with us
    core = _core_apart(env)
    with (
        tempfile.TemporaryDirectory(prefix="tasks-load-") as folder,
        embedded_postgres(Path(folder) / "data", server_options(env)) as server,
        _way_to(server, float(env.get("DATABASE_DELAY_MS") or 0) / 1000) as database_url,
        ExitStack() as stack,
    ):
        server.create_database("tasks")
        settings = {**without_libpq(env), "DATABASE_URL": database_url, "JWT_SECRET": secrets.token_urlsafe(48)}
        migrate(settings)
        processes = [stack.enter_context(served(settings, core=core)) for _ in range(int(env.get("PODS") or 1))]
        urls = tuple(process.urls[0] for process in processes)
        yield Started(urls, processes[0].admin_url, server.url(), processes[0].process)


def server_options(env: Mapping[str, str]) -> dict[str, str]:
    """PostgreSQL's, for data that is thrown away; `FSYNC=off` in `env` for runs whose figures nobody reads."""
    return {"shared_buffers": "256MB", "max_wal_size": "4GB", "fsync": env.get("FSYNC") or "on"}


def migrate(settings: Mapping[str, str], *arguments: str, root: Path = ROOT) -> None:
    subprocess.run(  # noqa: S603  our own program
        [*SERVICE, "migrate", *(arguments or ("upgrade",))],
        cwd=root,
        env=settings,
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def served(settings: Mapping[str, str], *, core: set[int] | None = None, root: Path = ROOT) -> Iterator[Started]:
    """One process, of the release that lies in `root`."""
    port, admin_port = _free_port(), _free_port()
    address = {"HOST": "127.0.0.1", "PORT": str(port), "ADMIN_PORT": str(admin_port), "DRAIN_SECONDS": "0"}
    REPORTS.mkdir(exist_ok=True)
    with (REPORTS / "service.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  our own program
            [*SERVICE, "serve"], cwd=root, env={**settings, **address}, stdout=log, stderr=log, start_new_session=True
        )
    started = Started(
        (f"http://127.0.0.1:{port}",), f"http://127.0.0.1:{admin_port}", settings["DATABASE_URL"], process
    )
    try:
        if core:
            os.sched_setaffinity(process.pid, core)
        _await_ready(process, f"{started.admin_url}/readyz")
        yield started
    finally:
        end(process, STOP_SECONDS)


@contextmanager
def _way_to(server: EmbeddedPostgres, delay_seconds: float) -> Iterator[str]:
    if not delay_seconds:
        yield server.url()
        return
    with slowed(server.sockets / ".s.PGSQL.5432", delay_seconds) as port:
        yield f"postgresql://postgres@127.0.0.1:{port}/tasks?sslmode=disable"


def _core_apart(env: Mapping[str, str]) -> set[int]:
    """The service's core; this process, and with it all that it starts, is moved to the others. Linux only."""
    text = env.get("SERVICE_CORE")
    if not text:
        return set()
    cores = os.sched_getaffinity(0)
    core = {int(text)} if text.isdecimal() else set()
    if not core or not core < cores:
        sys.exit(f"SERVICE_CORE={text} is none of several cores; there are {' '.join(map(str, sorted(cores)))}")
    os.sched_setaffinity(0, cores - core)
    return core


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever the environment says of proxies
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with direct.open(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the service did not start; see {REPORTS / 'service.log'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
