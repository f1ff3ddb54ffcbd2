"""`service dev`, which `make run` runs: one command, and nothing is left behind whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.support.database import ROOT, bare_environment
from tests.support.server import free_port
from tests.support.users import PASSWORD

START_SECONDS = 60.0


class Development:
    """The command in a folder of its own, as in a fresh clone."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        ports = {"PORT": str(self.port), "ADMIN_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", "dev"],
            cwd=folder,
            env={**bare_environment(), **ports},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.family = [psutil.Process(self.process.pid)]
        self._wait(self._answers)
        self.family += self.family[0].children(recursive=True)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self.url}/openapi.json", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def end(self, how: signal.Signals) -> int:
        os.kill(self.process.pid, how)
        status = self.process.wait(30)
        self._wait(lambda: not any(member.is_running() and member.status() != "zombie" for member in self.family))
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    @staticmethod
    def _wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)


def sign_up_or_in(url: str, how: str) -> int:
    body = {"email": "ada@example.com", "password": PASSWORD}
    return httpx.post(f"{url}/api/auth/{how}", json=body, timeout=10).status_code


def test_it_keeps_its_data_survives_being_killed_and_leaves_nothing_running(tmp_path: Path) -> None:
    first = Development(tmp_path)
    assert any(member.name() == "postgres" for member in first.family)
    assert sign_up_or_in(first.url, "signup") == 201
    first.end(signal.SIGKILL)
    second = Development(tmp_path)
    assert sign_up_or_in(second.url, "login") == 200
    assert second.end(signal.SIGINT) == 0
