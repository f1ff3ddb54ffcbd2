"""Packages depend one way: from what people see down to what it is made of."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.database import ROOT

LAYERS = (
    ("__main__",),
    ("dev",),
    ("app",),
    ("lifecycle",),
    ("purge",),
    ("admin", "api", "example", "settings"),
    ("tasks",),
    ("accounts",),
    ("description",),
    ("rest",),
    ("http",),
    ("database",),
    ("background",),
    ("telemetry",),
    ("environment", "deadlines", "identifiers", "locks", "ports", "problems", "processes", "threads"),
)
"""Top first. What stands on one line is of the same rank: none of it imports the other."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in (ROOT / "service").rglob("*.py"))


def part_of(path: Path) -> str:
    """The package or the module, directly below `service`, that a file belongs to; "" for service/__init__.py."""
    first = path.relative_to(ROOT / "service").parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def imported_parts(path: Path) -> set[str]:
    """What a file imports of `service`, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("service.")} - {"__version__"}


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in MODULES} - {""} == set(RANK)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_lead_downwards(path: Path) -> None:
    part = part_of(path)
    upward = {other for other in imported_parts(path) if other != part and RANK[other] <= RANK.get(part, -1)}
    assert not upward, f"{part} is made of what stands below it, yet imports {sorted(upward)}"


def test_a_migration_loads_no_server() -> None:
    """An init container runs it beside the service's memory limit."""
    code = "import sys, service.__main__, service.database.migrate; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"sanic", "sanic_ext", "jwt", "cryptography", "service.settings"} & set(loaded.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_taken_untyped_from_the_application(path: Path) -> None:
    """`app.ctx.anything` is Any to the type checker, and so is every call from there on."""
    untyped = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("app.ctx")
    ]
    assert not untyped, "use the feature's services_of(request)"


@pytest.mark.timeout(300)  # five seconds of a processor, which a crowded machine hands out slowly
def test_the_type_checker_sees_the_calls_from_a_route_to_its_store(tmp_path: Path) -> None:
    routes = "service/accounts/routes.py"
    text = (ROOT / routes).read_text(encoding="utf-8")
    broken = text.replace("store.rotate(", "store.rotat(").replace("new_hash=new_hash", "new_hash=5")
    (tmp_path / "routes.py").write_text(broken, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--shadow-file", routes, str(tmp_path / "routes.py"), routes]
    seen = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache")], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    assert '"AccountStore" has no attribute "rotat"' in seen
    assert 'Argument "new_hash" to "log_in" of "AccountStore" has incompatible type "int"' in seen
    assert "Found 2 errors in 1 file" in seen


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_package_says_nothing_itself(path: Path) -> None:
    """What it said would run at the import of any of its modules, and be a second place to import each from."""
    assert not [line for line in path.read_text().splitlines() if not line.startswith("__version__ = ")]
