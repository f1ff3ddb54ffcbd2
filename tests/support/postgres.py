"""A PostgreSQL of one's own, to be stopped, killed, frozen and promoted."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil

from service.database.embedded import EmbeddedPostgres
from service.database.postgres_programs import ServerPrograms, give_to_server, tool
from tests.support.database import Database
from tests.support.drill import pick
from tests.support.server import free_port

# What a killed process has written, the system still has: only a power cut needs fsync. It is off in the short tests,
# since a disk that stands still for two seconds, as shared ones do, would fail what has nothing to do with it.
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": pick("off", "on"),
}

BINARIES = "TASKS_TEST_POSTGRES_BINARIES"
"""Where in the environment the folder with the programs of another PostgreSQL is, which the tests run on then."""


def tested() -> ServerPrograms | None:
    """None for the wheel's."""
    if not os.environ.get(BINARIES):
        return None
    folder = Path(os.environ[BINARIES]).resolve()
    told = tool("postgres", "--version", folder=folder)  # postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    return ServerPrograms(folder, told.split()[2].partition(".")[0])


class Postgres(EmbeddedPostgres):
    def __init__(self, data: Path, options: dict[str, str] | None = None) -> None:
        super().__init__(data, {**_OPTIONS, "port": str(free_port()), **(options or {})}, tested())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.options['port']}"

    def tcp_url(self, database: str = "tasks") -> str:
        return f"postgresql://postgres@{self.address}/{database}"

    def create(self, name: str = "tasks") -> Database:
        """A database with the current schema."""
        database = Database.create(self.tcp_url("postgres") + "?", name)
        database = Database(self.tcp_url(name), name, database.server)
        database.upgrade()
        return database

    def freeze(self) -> None:
        """As a machine that swaps or a network that swallows everything: connections stay, nothing moves."""
        for _ in range(2):  # once more for those that were begun before their parent was stopped
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # a backend may end after it was listed
                process.send_signal(number)

    def crash(self) -> None:
        """All of it at once, without a word to anybody."""
        doomed = self._processes()
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        psutil.wait_procs(doomed, timeout=10)

    def promote(self) -> None:
        tool("psql", "-X", "-d", self.url("postgres"), "-c", "SELECT pg_promote()")

    def standby(self) -> Self:
        """A copy that follows this server; not started."""
        copy = self.data.with_name(f"{self.data.name}-standby")
        give_to_server(copy.parent)
        source = ("-d", self.tcp_url("postgres"))
        tool("pg_basebackup", *source, "-D", copy, "-c", "fast", as_server=True)
        # Not by its option -R, which writes down parameters that only a server of its own version knows.
        primary = f"primary_conninfo = 'host=127.0.0.1 port={self.options['port']} user=postgres'\n"
        for name, text in {"postgresql.auto.conf": primary, "standby.signal": ""}.items():
            with (copy / name).open("a", encoding="utf-8") as file:
                file.write(text)
            give_to_server(copy / name)
        return type(self)(copy, {**self.options, "port": str(free_port())})

    def _processes(self) -> list[psutil.Process]:
        """The postmaster first, so that it starts nothing meanwhile."""
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]


@contextmanager
def postgres(**options: str) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="tasks-faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "data", options)
        server.start()
        try:
            yield server
        finally:
            server.crash()  # also when a test failed while it was frozen
            server.stop()
