"""A PostgreSQL out of a Python wheel, for development and tests: the real server, with its data in one folder.

It ends with the process that started it, even when that is killed, and a leftover of an unclean exit is taken over.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

from service.database.leftovers import end_leftovers
from service.database.postgres_programs import (
    EmbeddedError,
    ServerPrograms,
    bundled,
    explained,
    give_to_server,
    server_environment,
    server_user,
    server_user_prefix,
    tool,
)
from service.locks import InUseError, OwnerLock
from service.processes import born, end, signals_deferred

START_SECONDS = 30.0
STOP_SECONDS = 15.0
SOCKET_PATH_BYTES_MAX = 103
"""What macOS allows; Linux has 4 more."""


class EmbeddedPostgres:
    def __init__(
        self, data: Path, options: dict[str, str] | None = None, programs: ServerPrograms | None = None
    ) -> None:
        """`options` are server settings, such as {"fsync": "off"} where the data is thrown away.

        It listens on a socket in a folder of its own; "listen_addresses" and "port" among the options add TCP.
        `programs` are those of another version than the wheel's.
        """
        self.data = data.resolve()
        self.options = {"port": "5432", **(options or {})}
        self.log = self._beside("log")
        self.sockets = _sockets(self.data)
        self._programs = programs
        self._lock = OwnerLock(self._beside("lock"))
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "tasks") -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets))}&port={self.options['port']}"

    @property
    def programs(self) -> ServerPrograms:
        """Raises EmbeddedError."""
        return self._programs or bundled()

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101  only asked while it runs
        return self._process.pid

    def ended(self) -> bool:
        """Whether it was started and is gone."""
        return self._process is not None and self._process.poll() is not None

    def claim(self, purpose: str = "") -> None:
        """Own the data until `stop`; whoever else wants it is told `purpose`. Raises EmbeddedError."""
        if self._lock.owned:
            return
        about = f"process {os.getpid()}{purpose and f', {purpose}'}"
        with explained():
            self.data.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(about)
            except InUseError as error:
                raise EmbeddedError(
                    f"{self.data} is in use by {error or 'another process'}; stop that one first"
                ) from None

    def start(self) -> None:
        """Raises EmbeddedError."""
        self.claim()
        try:
            with explained():
                self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Also when it never started, and after it has ended by itself."""
        if self._process is not None:
            if self._process.poll() is None:
                end(self._process, STOP_SECONDS, how=signal.SIGINT)  # "fast": roll back, write a checkpoint, leave
            shutil.rmtree(self.sockets, ignore_errors=True)
        self._lock.release()

    def create_database(self, name: str) -> None:
        """Unless it is there already. Raises EmbeddedError."""
        psql = ("-XtA", "-d", self.url("postgres"), "-c")
        if not tool("psql", *psql, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):  # noqa: S608  our own names
            tool("psql", *psql, f'CREATE DATABASE "{name}"')

    def _beside(self, suffix: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{suffix}")

    def _start(self) -> None:
        end_leftovers(self.data)
        if not self._is_made():
            self._make()
        self._empty_sockets()
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self.options}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log, signals_deferred():
            said_before = log.tell()
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [*server_user_prefix(), self.programs.folder / "postgres", "-D", self.data, *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=server_environment(),
                preexec_fn=born(signal.SIGINT),  # noqa: PLW1509  it takes no lock
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop it in our own time
            )
        self._await_ready(said_before)

    def _is_made(self) -> bool:
        """Raises EmbeddedError when something else is there: it may be somebody's."""
        if not self.data.exists() or not any(self.data.iterdir()):
            return False
        advice = "move it away, or `make clean` removes it with all that is in it"
        found = (self.data / "PG_VERSION").read_text().strip() if (self.data / "PG_VERSION").exists() else None
        if found is None or not (self.data / "global" / "pg_control").exists():
            raise EmbeddedError(f"{self.data} is not a whole PostgreSQL database; {advice}")
        if found != self.programs.version:
            version = self.programs.version
            raise EmbeddedError(f"{self.data} was made by PostgreSQL {found}, and this is {version}; {advice}")
        return True

    def _make(self) -> None:
        """Beside, and renamed when it is whole: an end half-way leaves nothing incomplete under the final name."""
        for half_made in self.data.parent.glob(f"{self.data.name}.making-*"):
            shutil.rmtree(half_made, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=f"{self.data.name}.making-", dir=self.data.parent))
        try:
            give_to_server(making)
            options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", *self.programs.initdb_options(), "--no-sync"]
            tool("initdb", "-D", making, *options, as_server=True, folder=self.programs.folder)
            making.rename(self.data)
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _empty_sockets(self) -> None:
        """A folder of this name in a folder that everybody writes to is not yet ours. Raises EmbeddedError."""
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        found = self.sockets.lstat()
        private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        if not private or found.st_uid not in {os.geteuid(), server_user()}:
            raise EmbeddedError(f"{self.sockets} belongs to somebody else; set TMPDIR to a folder of your own")
        give_to_server(self.sockets)
        for left in self.sockets.iterdir():
            left.unlink()  # a lock with the number of a process that is another by now would stop the server

    def _await_ready(self, said_before: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.ended() or time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL did not start: {self._last_words(said_before)} (log: {self.log})")
            time.sleep(0.03)

    def _answers(self) -> bool:
        with suppress(EmbeddedError):
            tool("pg_isready", "-q", "-d", self.url("postgres"))
            return True
        return False

    def _last_words(self, said_before: int) -> str:
        lines = self.log.read_bytes()[said_before:].decode(errors="replace").splitlines()
        fatal = [line.partition(word)[2].strip() for line in lines for word in ("FATAL:", "PANIC:") if word in line]
        return (fatal or lines or [f"no answer within {START_SECONDS:.0f} s"])[-1]


@contextmanager
def embedded_postgres(data: Path, options: dict[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _sockets(data: Path) -> Path:
    """A folder for the socket whose path is short enough; that of the data folder may not be."""
    name = f"tasks-pg-{os.geteuid()}-{blake2b(bytes(data), digest_size=6).hexdigest()}"
    with suppress(OSError):  # no temporary folder can be written to; starting will say it
        folder = Path(tempfile.gettempdir()).absolute() / name
        if len(bytes(folder / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES_MAX and "," not in str(folder):
            return folder
    return Path("/tmp") / name  # noqa: S108  its owner is checked before it is used
