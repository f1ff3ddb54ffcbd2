"""The TypeScript client that openapi-typescript and openapi-fetch make from our description does all of the API."""

import shutil
from pathlib import Path

import pytest

from tests.support.database import ROOT, run_command
from tests.support.server import Service
from tests.support.tools import missing, run, tool

MODULES = ROOT / ".tools" / "typescript" / "node_modules"
JOURNEY = """\
created buy milk 2030-02-28 high true
patched null [ 'shop' ] 412 precondition_failed
paged [ 'task 3', 'task 2', 'task 1', 'task 0', 'buy milk' ]
filtered [ [ 'buy milk', 'oat' ] ]
followed [ 'task 0', 'task 1', 'task 2', 'task 3', 'buy milk' ]
"""

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example beside the types that it is written against, made as `make clients` does it."""
    if not MODULES.exists():
        missing("the TypeScript generator", "make typescript, with npm")
    folder = tmp_path_factory.mktemp("client")
    (folder / "node_modules").symlink_to(MODULES)
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(ROOT / "clients" / name, folder)
    shutil.copy(ROOT / "docs" / "examples" / "generated.ts", folder)
    (folder / "openapi.json").write_text(run_command("openapi", check=True).stdout)
    _node(folder, "openapi-typescript", "openapi.json", "--output", "tasks.d.ts")
    return folder


def test_it_compiles_and_makes_the_whole_journey(project: Path, service: Service) -> None:
    _node(project, "tsc", "--project", ".")
    done = run(tool("node"), project / "generated.js", service.url)
    assert done.stdout == JOURNEY, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('priority: "high", labels', 'priority: "highest", labels'),
        ("{ due_on: null }", "{ title: null }"),
        ("task.title, task.due_on", "task.titel, task.due_on"),
    ],
)
def test_the_compiler_sees_what_the_service_would_refuse(project: Path, right: str, wrong: str) -> None:
    text = (project / "generated.ts").read_text()
    assert right in text
    (project / "wrong.ts").write_text(text.replace(right, wrong))
    done = run(tool("node"), MODULES / ".bin" / "tsc", "--project", project, "--noEmit")
    (project / "wrong.ts").unlink()
    assert "wrong.ts(" in done.stdout, done.stdout


def _node(folder: Path, command: str, *arguments: str) -> None:
    done = run("sh", "-c", 'cd "$0" && exec "$@"', folder, MODULES / ".bin" / command, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
