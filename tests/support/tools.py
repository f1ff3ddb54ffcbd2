"""Where the tests find their tools; one that is missing is a skip for you and a failure for CI."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.database import ROOT

# Debian keeps servers such as nginx and pgbouncer where only root's PATH looks.
PATH = os.pathsep.join((str(ROOT / ".tools" / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def missing(what: str, get_it: str) -> NoReturn:
    """Ends the test: `get_it` is the command that gets what is missing."""
    text = f"{what} is missing; get it with: {get_it}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def tool(name: str, get_it: str = "make tools") -> str:
    """The command's path."""
    return shutil.which(name, path=PATH) or missing(name, get_it)


def require(name: str) -> Path:
    return Path(tool(name))


def root_user() -> None:
    if os.geteuid() != 0:
        missing("root, which containers need here,", "sudo make test-image")


def run(
    *command: str | Path,
    stdin: str | None = None,
    timeout_seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The finished process, whatever its exit code."""
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
        cwd=ROOT,
        env={**os.environ, "PATH": PATH, **(environment or {})},
    )


def succeed(
    *command: str | Path,
    stdin: str | None = None,
    timeout_seconds: float = 60,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What the command printed; its error output is the failure."""
    done = run(*command, stdin=stdin, timeout_seconds=timeout_seconds, environment=environment)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr}{done.stdout}"
    return done.stdout
