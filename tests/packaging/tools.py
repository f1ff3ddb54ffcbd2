"""Where the tests find their tools; one that is missing is a skip for you and a failure for CI."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"


def missing(what: str, get_it: str) -> None:
    """Ends the test: `get_it` is the command that gets what is missing."""
    text = f"{what} is missing; get it with: {get_it}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def tool(name: str, get_it: str = "make tools") -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        missing(name, get_it)
    return str(found)


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
