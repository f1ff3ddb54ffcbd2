"""The wheel alone, without a clone beside it, brings a database up and serves."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from service import __version__
from service.database import revisions
from tests.support.clone import cloned
from tests.support.database import Database, bare_environment
from tests.support.server import Service
from tests.support.users import sign_up


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    clone = cloned(folder / "clone", with_environment=False)
    _uv("build", "--wheel", "--no-build-isolation", "--out-dir", folder, clone)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own, which takes nothing but the dependencies from ours."""
    folder = tmp_path_factory.mktemp("environment")
    _uv("venv", "--clear", "--python", sys.executable, folder)
    _uv("pip", "install", "--no-deps", "--python", folder, wheel)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # whose own .pth files do not count
    return folder / "bin" / "tasks-service"


def test_it_holds_the_package_and_every_migration_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    migrations = {name for name in names if name.startswith("service/migrations/")}
    assert migrations == {f"service/migrations/models/{r.file}" for r in revisions.files()}
    assert {name.partition("/")[0].removesuffix(".dist-info") for name in names} == {
        "service",
        f"tasks_service-{__version__}",
    }


def test_it_migrates_and_serves_wherever_it_is_called(
    installed: Path, empty_database: Database, tmp_path: Path
) -> None:
    def command(*arguments: str) -> str:
        env = {**bare_environment(), "DATABASE_URL": empty_database.url}
        done = subprocess.run(
            [installed, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert command("--version") == f"tasks-service {__version__}\n"
    assert f"applied {revisions.files()[-1].file}" in command("migrate", "upgrade")
    service = Service(empty_database.url)
    service.command, service.root = [str(installed), "serve"], tmp_path
    service.start()
    try:
        with sign_up(service.url) as user:
            assert user.create("one")["title"] == "one"
    finally:
        service.stop()
    assert f"undone {revisions.files()[0].file}" in command("migrate", "downgrade", "--to", "0")


def _uv(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "uv", "--offline", "--no-config", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
