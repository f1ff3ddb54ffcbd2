"""The Python client that openapi-python-client makes from our description does all of the API."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.database import ROOT, bare_environment, run_command
from tests.support.server import Service

EXAMPLE = ROOT / "docs" / "examples" / "generated.py"
JOURNEY = """\
created buy milk 2030-02-28 high True
patched None ['shop'] 412 precondition_failed
paged ['task 3', 'task 2', 'task 1', 'task 0', 'buy milk']
filtered [('buy milk', 'oat')]
followed ['task 0', 'task 1', 'task 2', 'task 3', 'buy milk']
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is in, made as `make clients` does it, under the name that the example imports."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(run_command("openapi", check=True).stdout)
    command = [_bin("openapi-python-client"), "generate", f"--path={folder}/openapi.json", "--meta=none"]
    command.append(f"--config={ROOT}/clients/python.yaml")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr, "what the generator cannot read is missing in its client"
    return folder


def test_every_type_has_a_name_of_ours(generated: Path) -> None:
    """What the document gives no name to, generators name by the place where it stands."""
    modules = [path.stem for path in (generated / "tasks_client" / "models").glob("*.py")]
    assert {"user", "session", "priority", "problem_error", "json_web_key"} <= set(modules)
    assert [name for name in modules if re.search("_(item|response_[0-9]+|out)$", name)] == []


def test_the_whole_journey(generated: Path, service: Service) -> None:
    env = {**bare_environment(), "PYTHONPATH": str(generated)}
    done = subprocess.run(
        [sys.executable, EXAMPLE, service.url], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == JOURNEY, done.stderr


@pytest.mark.clients
def test_the_type_checker_follows_it_everywhere(generated: Path) -> None:
    env = {**os.environ, "MYPYPATH": str(generated)}
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(generated / "cache")]
    done = subprocess.run([*mypy, str(EXAMPLE)], env=env, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout


def _bin(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
