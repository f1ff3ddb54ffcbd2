"""`tasks-service dev`: a database, its migrations and a server that restarts when the code changes."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import psutil
from watchfiles import PythonFilter, watch

from service import ports
from service.database.embedded import EmbeddedPostgres
from service.database.postgres_programs import without_libpq
from service.locks import exclusive
from service.processes import ENDING, born, end, signals_deferred
from service.settings import JWT_SECRET_BYTES_MIN, Settings, load_settings

DATA = Path(".data")
SERVICE = Path(__file__).resolve().parent
EXAMPLE = SERVICE.parent / "examples" / "web"
"""Which a clone has, and an installation has not."""
COMMAND = (sys.executable, "-m", "service")
STOP_SECONDS = 15.0
LOOK_MILLISECONDS = 200
"""Between two checks of the children, while no code changes."""


class Interruption:
    """What asks us to end: the first signal is raised as KeyboardInterrupt, later ones must not end the ending.

    An exception out of a signal can get lost, as in callbacks, where Python ignores those; its mark stays.
    """

    def __init__(self) -> None:
        self._asked = False

    def is_set(self) -> bool:
        return self._asked

    def take_signals(self) -> None:
        for each in ENDING:
            if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN:  # as `nohup` has it
                signal.signal(each, self._interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # `make run` has kept them back until now

    def _interrupt(self, *_: object) -> None:
        if not self._asked:
            self._asked = True
            raise KeyboardInterrupt


def run() -> int:
    """Until Ctrl-C; returns the exit status. Raises EmbeddedError, SettingsError."""
    interruption = Interruption()
    os.umask(0o077)
    try:
        with ExitStack() as stack:
            interruption.take_signals()
            return _run(stack, interruption)
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"The service cannot be run here: {where}{error.strerror or error}")


def _run(stack: ExitStack, interruption: Interruption) -> int:
    """Whatever can fail because of what is around us fails before the database is touched."""
    DATA.mkdir(exist_ok=True)
    database = None
    if not _given("DATABASE_URL"):
        database = EmbeddedPostgres(DATA / "postgres")
        stack.callback(database.stop)
    env = _environment(database)
    os.environ.update(env)  # what is checked here is what the children get
    settings = load_settings()
    if database is not None:
        database.claim(_base(settings))
    _check_ports(settings)
    if database is not None:
        _say(f"starting PostgreSQL, with its data in {DATA / 'postgres'}: a few seconds the first time")
        database.start()
        database.create_database("tasks")
    _say("applying migrations")
    with _Child(env, "migrate", "upgrade") as migration:
        status = _await(migration.status, interruption)
    return status or _serve(env, settings, database, interruption)


def _environment(database: EmbeddedPostgres | None) -> dict[str, str]:
    env = {**os.environ, "DRAIN_SECONDS": "0", "DRAIN_SECONDS_FILE": ""}
    if not _given("LOG_FORMAT"):
        env["LOG_FORMAT"] = "console"
    env["SANIC_IGNORE_PRODUCTION_WARNING"] = "1"  # it would be the first thing that a newcomer reads
    if database is not None:
        env = {**without_libpq(env), "DATABASE_URL": database.url()}
    if not _given("JWT_SECRET") and not _given("JWT_PRIVATE_KEY"):
        env["JWT_SECRET"] = _secret()
    return env


def _given(name: str) -> bool:
    return any(os.environ.get(variable) for variable in (name, f"{name}_FILE"))


def _secret() -> str:
    """One that stays the same from run to run, so that tokens do too."""
    path = DATA / "jwt_secret"
    with exclusive(DATA):
        if not path.exists() or len(path.read_bytes()) < JWT_SECRET_BYTES_MIN:
            making = path.with_name("jwt_secret.making")
            making.write_text(secrets.token_urlsafe(48))
            making.replace(path)
        return path.read_text()


def _check_ports(settings: Settings) -> None:
    """Exits when one is taken."""
    if refusals := ports.refusals(settings.host, PORT=settings.port, ADMIN_PORT=settings.admin_port):
        told = [f"{refusal}{_listener(refusal.port)}" for refusal in refusals]
        sys.exit("\n".join([*told, "Take others: make run PORT=8001 ADMIN_PORT=9001"]))


def _listener(port: int) -> str:
    """Which process has it, where the system tells."""
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                return f" by process {each.pid}, {psutil.Process(each.pid).name()}"
    return ""


def _await(condition: Callable[[], int | None], interruption: Interruption) -> int:
    """The status that the condition gives once it gives one. Raises KeyboardInterrupt, should that have got lost."""
    while (status := condition()) is None:
        if interruption.is_set():
            raise KeyboardInterrupt
        time.sleep(LOOK_MILLISECONDS / 1000)
    return status


def _serve(
    env: dict[str, str], settings: Settings, database: EmbeddedPostgres | None, interruption: Interruption
) -> int:
    command = ("serve-with-example", str(EXAMPLE)) if EXAMPLE.is_dir() else ("serve",)
    with _Child(env, *command) as server:

        def outcome() -> int | None:
            if _is_lost(database) or server.status() is not None:
                return server.status() or 1
            return 0 if _is_ready(settings) else None

        if status := _await(outcome, interruption):
            _say(f"the service has ended with status {status}")
            return status
        _greet(_base(settings))
        return _watch(server, database, interruption)


def _watch(server: "_Child", database: EmbeddedPostgres | None, interruption: Interruption) -> int:
    """Start the server anew whenever its code changes; one that failed waits for the next change to be right."""
    ended = False
    for changed in _changes(interruption):
        if _is_lost(database):
            return 1
        if changed:
            _say("the code has changed: restarting the service")
            server.stop()
            server.start()
            ended = False
        elif not ended and (status := server.status()) is not None:
            ended = True
            _say(f"the service has ended with status {status}; it is started again when the code changes")
    return 0


def _is_lost(database: EmbeddedPostgres | None) -> bool:
    """Without it, the service would say 503 for ever."""
    if database is None or not database.ended():
        return False
    _say(f"PostgreSQL has ended, though nothing here has stopped it: see {database.log}")
    return True


def _changes(interruption: Interruption) -> Iterator[object]:
    """What has changed each time, or nothing for a while."""
    options: dict[str, Any] = {
        "watch_filter": PythonFilter(),
        "yield_on_timeout": True,
        "rust_timeout": LOOK_MILLISECONDS,
        "stop_event": interruption,
    }
    try:
        yield from watch(SERVICE, **options, raise_interrupt=True)
    except OSError as error:  # the kernel's limit on watches, which all of a user's editors share
        _say(f"looking for changes by polling, since the system refuses to tell of them: {error}")
        yield from watch(SERVICE, **options, raise_interrupt=True, force_polling=True)


class _Child:
    """A command of ours, which ends at the latest when the block does."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self._env = env
        self._command = (*COMMAND, *arguments)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """In a session of its own, so that a Ctrl-C is for us."""
        with signals_deferred():
            self._process = subprocess.Popen(  # noqa: S603  ourselves
                self._command,
                env=self._env,
                start_new_session=True,
                preexec_fn=born(),  # noqa: PLW1509  it takes no lock
            )

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            end(self._process, STOP_SECONDS)

    def status(self) -> int | None:
        """As a shell has it: 128 and more is a signal. None while it runs."""
        status = self._process.poll() if self._process is not None else None
        return 128 - status if status is not None and status < 0 else status


def _is_ready(settings: Settings) -> bool:
    """Without a proxy, whatever the environment says of those."""
    connection = HTTPConnection(_reachable(settings), settings.admin_port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _reachable(settings: Settings) -> str:
    return "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104  compared, not bound


def _base(settings: Settings) -> str:
    host = _reachable(settings)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _greet(base: str) -> None:
    body = '{"email":"ada@example.com","password":"correct horse"}'
    page = f"  page  {base}/example\n" if EXAMPLE.is_dir() else ""
    curl = f"curl -s {base}/api/auth/signup -H 'Content-Type: application/json' -d '{body}'"
    _say(f"ready; Ctrl-C stops all of it\n\n{page}  docs  {base}/docs\n  API   {base}\n  try   {curl}\n")


def _say(text: str) -> None:
    with suppress(OSError):  # the terminal is closed
        print(text, flush=True)  # noqa: T201  this is for the person at the terminal
