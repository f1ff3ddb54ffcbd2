"""Servers that an unclean exit left running: found by the folder they work in, never by their number alone."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from service.database.postgres_programs import EmbeddedError

if TYPE_CHECKING:
    import psutil

END_SECONDS = 15.0


def end_leftovers(data: Path) -> None:
    """End the servers of this data, which must be ours. Raises EmbeddedError when one does not end."""
    recorded = _recorded_pid(data)
    left = _servers(data)
    postmaster = [process for process in left if process.pid == recorded]
    for process in postmaster or left:  # those that lost their postmaster have nothing to finish: it is a crash
        _signal(process, signal.SIGINT if postmaster else signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while running := _servers(data):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"a PostgreSQL (process {running[0].pid}) still runs on {data}; stop it first")
        time.sleep(0.05)
    if recorded is not None:
        _forget_pid(data, recorded)


def _servers(data: Path) -> "list[psutil.Process]":
    """The server processes that work in this very folder, as the kernel has it."""
    import psutil  # noqa: PLC0415  belongs to the extra `local`, as the server does

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name() == "postgres" and _works_in(process, data):
                found.append(process)
    return found


def _works_in(process: "psutil.Process", data: Path) -> bool:
    import psutil  # noqa: PLC0415  as above

    try:
        return data.samefile(process.cwd())
    except psutil.AccessDenied:  # root of a container may not see another user's: then what it was started with
        return f"-D\0{data}\0" in "\0".join([*process.cmdline(), ""])


def _signal(process: "psutil.Process", how: signal.Signals) -> None:
    """Unless it is gone, and its number another process's."""
    import psutil  # noqa: PLC0415  as above

    with suppress(psutil.NoSuchProcess):
        process.send_signal(how)


def _recorded_pid(data: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int((data / "postmaster.pid").read_text().split()[0])
    return None


def _forget_pid(data: Path, recorded: int) -> None:
    """PostgreSQL does not start while any process has the number in its file, unless it is its parent's: ours.

    The rest of the file stays: by it, it sees whether shared memory of this data is still in use.
    """
    path = data / "postmaster.pid"
    with suppress(FileNotFoundError):
        path.write_text(path.read_text().replace(str(recorded), str(os.getpid()), 1))
