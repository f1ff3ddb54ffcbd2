"""`service dev`, as `make run` starts it: a process with children, to be interrupted at any moment."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.support.database import ROOT, bare_environment
from tests.support.drill import eventually
from tests.support.server import free_port

START_SECONDS = 90.0
DEV = (sys.executable, "-m", "service", "dev")


class Development:
    """The command in a folder of its own, as in a fresh clone; `env` adds to its environment, or with None removes."""

    def __init__(self, folder: Path, command: Sequence[str | Path] = DEV, **env: str | None) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._admin_port = free_port()
        settings = {"PORT": str(self.port), "ADMIN_PORT": str(self._admin_port), "PYTHONPATH": str(ROOT)}
        given = {**bare_environment(), **settings, **env}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={name: value for name, value in given.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._family: dict[int, psutil.Process] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def said(self) -> str:
        return "".join(self._lines)

    def await_said(self, text: str) -> None:
        self._await(lambda: text in self.said())

    def await_ready(self) -> None:
        self._await(self._is_ready)
        self.family()

    def await_there(self, pattern: str) -> None:
        """Until its folder has such a file; within a millisecond, without keeping a core from what makes it."""
        while not any(self.folder.glob(pattern)):
            assert self.process.poll() is None, self.said()
            time.sleep(0.001)

    def family(self) -> list[psutil.Process]:
        """All that it has started by now."""
        root = psutil.Process(self.process.pid)
        self._family |= {member.pid: member for member in (root, *root.children(recursive=True))}
        return list(self._family.values())

    def postmaster(self) -> psutil.Process:
        return next(member for member in self.family() if member.name() == "postgres")

    def end(self, *signals: signal.Signals) -> int:
        """Its exit status, once nothing of it runs any more."""
        self.family()
        for each in signals:
            os.kill(self.process.pid, each)
        return self.ended()

    def ended(self) -> int:
        status = self.process.wait(START_SECONDS)
        members = self._family.values()
        eventually(lambda: not any(map(runs, members)), START_SECONDS)
        self._reader.join(START_SECONDS)
        return status

    def _await(self, condition: Callable[[], bool]) -> None:
        def met() -> bool:
            assert self.process.poll() is None, self.said()
            return condition()

        eventually(met, START_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._admin_port}/readyz", timeout=2, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self._lines.append(line)


@contextmanager
def started(folder: Path, command: Sequence[str | Path] = DEV, **env: str | None) -> Iterator[Development]:
    """Nothing of it is left afterwards, whatever the test did."""
    running = Development(folder, command, **env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.family()
            os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does; make passes no SIGINT on
        running.ended()


@contextmanager
def development(folder: Path, command: Sequence[str | Path] = DEV, **env: str | None) -> Iterator[Development]:
    """Ready for requests."""
    with started(folder, command, **env) as running:
        running.await_ready()
        yield running


def failed(folder: Path, command: Sequence[str | Path] = DEV, **env: str | None) -> str:
    """What it said when it could not start: a sentence and a status, no traceback."""
    with started(folder, command, **env) as running:
        status = running.ended()
        said = running.said()
    assert status not in {0, None}, said
    assert "Traceback" not in said, said
    return said


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
