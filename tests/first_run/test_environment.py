"""make's .venv: whole, or not there; made by one at a time; and nobody else's."""

import base64
import hashlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.clone import make
from tests.support.database import ROOT, bare_environment
from tests.support.drill import eventually, pick

TARGET = ".venv/.local"
WHOLE = "import thing, project; print(thing.value, project.__file__)"
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "project"
version = "1"
"""
# As a build that takes as long as the test wants.
BACKEND = """
import os, pathlib, time, zipfile
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(folder, config_settings=None, metadata_directory=None):
    pathlib.Path("building").touch()
    while pathlib.Path("slow").exists():
        time.sleep(0.01)
    name = "project-1-py3-none-any.whl"
    info = "project-1.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("project.pth", os.getcwd())
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: project\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "project.pth,,\\n")
    return name
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone of something smaller: our make, and packages that need no network."""
    clone = tmp_path / "a b"
    shutil.copytree(ROOT / "make", clone / "make", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", clone)
    (clone / "pyproject.toml").write_text(PROJECT)
    (clone / "backend.py").write_text(BACKEND)
    (clone / "project.py").touch()
    for folder in ("requirements", "service"):
        (clone / folder).mkdir()
    (clone / "service" / "__init__.py").write_text('__version__ = "1"\n')
    require(clone, "1")
    return clone


def require(clone: Path, version: str) -> None:
    """Let the project need a package that is there."""
    path = wheels(clone) / f"thing-{version}-py3-none-any.whl"
    content = {
        "thing.py": f"value = {version}\n",
        f"thing-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n",
        f"thing-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"thing-{version}.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
        wheel.writestr(
            record, "".join(f"{name},{_digest(text)},\n" for name, text in content.items()) + f"{record},,\n"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (clone / "requirements" / "local.txt").write_text(f"thing=={version} --hash=sha256:{digest}\n")


def wheels(clone: Path) -> Path:
    """Where pip finds them, whose list of such folders knows no spaces."""
    folder = clone.parent / "wheels"
    folder.mkdir(exist_ok=True)
    return folder


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def offline(clone: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels(clone))}


def install(clone: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return make(clone, TARGET, **{**offline(clone), **env})


def is_whole(clone: Path, version: str = "1") -> bool:
    done = subprocess.run([clone / ".venv/bin/python", "-c", WHOLE], capture_output=True, text=True, check=True)
    return done.stdout == f"{version} {clone / 'project.py'}\n"


@contextmanager
def installing(clone: Path) -> Iterator[subprocess.Popen[str]]:
    """make, under way in a session of its own; all of it is gone afterwards."""
    process = subprocess.Popen(
        ["make", TARGET],
        cwd=clone,
        env={**bare_environment(), **offline(clone)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            for member in members(process):
                member.kill()


def members(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if _group(each) == process.pid]


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def test_what_is_whole_is_left_alone_whatever_the_environment_has(project: Path) -> None:
    leaks = {
        "PYTHONPATH": str(project),
        "PYTHONHOME": "/nowhere",
        "PYTHONOPTIMIZE": "2",
        "PIP_USER": "1",
        "PIP_TARGET": str(project / "elsewhere"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_CONSTRAINT": "/nowhere",
        "VIRTUAL_ENV": "/nowhere",
        "LC_ALL": "xx_YY.nope",
        "MAKEFLAGS": "e",
        "BIN": "/nowhere",
    }
    done = install(project, **leaks)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_whole(project)
    assert not (project / "elsewhere").exists()
    again = install(project)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    # What cannot be had leaves what was there, for whoever goes back.
    lock = project / "requirements" / "local.txt"
    before = lock.read_text()
    lock.write_text("nothing==1 --hash=sha256:" + "0" * 64 + "\n")
    failed = install(project)
    assert failed.returncode != 0
    assert "pip could not install the dependencies" in failed.stderr
    lock.write_text(before)
    again = install(project)
    assert (again.returncode, again.stdout) == (0, "")
    assert is_whole(project)
    # A terminal is shown how far it is; and make is not needed.
    require(project, "2")
    said = on_a_terminal(["sh", project / "make" / "clone.sh", "install", "local"], **offline(project))
    steps = ["1 packages, half a minute or so", "1 of 1: thing-2-py3-none-any.whl", "unpacking"]
    assert [step for step in steps if step in said] == steps
    assert is_whole(project, "2")


def on_a_terminal(command: Sequence[str | Path], **env: str) -> str:
    terminal, end_of_child = pty.openpty()
    try:
        subprocess.run(
            command, cwd="/", env={**bare_environment(), **env}, stdout=end_of_child, stderr=end_of_child, check=True
        )
        return os.read(terminal, 65536).decode()
    finally:
        os.close(end_of_child)
        os.close(terminal)


Interruption = tuple[str, signal.Signals]
"""A file that is there at that moment, and how make is ended then."""

PLACES = (".venv", ".venv/bin/python", ".venv/lib/python*/site-packages/pip", "building")
EACH: list[list[Interruption]] = [[(place, how)] for place in PLACES for how in (signal.SIGINT, signal.SIGKILL)]
ONE_AFTER_THE_OTHER: list[list[Interruption]] = [[(".venv/bin/python", signal.SIGKILL), ("building", signal.SIGINT)]]


@pytest.mark.parametrize("interruptions", pick(ONE_AFTER_THE_OTHER, EACH), ids=str)
@pytest.mark.drill
def test_what_was_interrupted_is_made_anew(project: Path, interruptions: list[Interruption]) -> None:
    (project / "slow").touch()
    for moment, how in interruptions:
        with installing(project) as first:
            while not any(project.glob(moment)):
                assert first.poll() is None
                time.sleep(0.001)
            os.killpg(first.pid, how)
            output, _ = first.communicate(timeout=60)
            assert "Traceback" not in output
    (project / "slow").unlink()
    done = install(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_whole(project)


@pytest.mark.drill
@pytest.mark.long
def test_a_second_make_waits_for_the_first_and_for_what_the_first_has_left(project: Path) -> None:
    (project / "slow").touch()
    with installing(project) as first:
        eventually((project / "building").exists, 60)
        with installing(project) as second:
            assert second.stdout is not None
            assert "waiting for another make" in second.stdout.readline()
            mains = [each for each in members(first) if "make/clone.py" in each.cmdline()]
            mains[0].kill()  # its pip goes on
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(1)
            (project / "slow").unlink()
            assert second.wait(60) == 0
            second.stdout.read()
        first.communicate(timeout=60)
    assert is_whole(project)


@pytest.mark.drill
@pytest.mark.long
def test_a_copied_clone_makes_its_own(project: Path) -> None:
    install(project)
    copy = project.with_name("copy")
    shutil.copytree(project, copy, symlinks=True)
    assert install(copy).returncode == 0
    assert is_whole(copy)
    assert is_whole(project)


@pytest.mark.drill
@pytest.mark.long
def test_what_a_link_leads_to_is_not_written_to(project: Path) -> None:
    install(project)
    other = project.with_name("other")
    shutil.copytree(project, other, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    (other / ".venv").symlink_to(project / ".venv")
    assert install(other).stdout == ""  # good as it is
    require(other, "2")
    assert install(other).returncode == 0
    assert is_whole(other, "2")
    assert is_whole(project, "1")


def test_somebody_elses_environment_is_not_touched(project: Path) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    done = install(project)
    assert done.returncode != 0
    assert ".venv was not made by make: move it away, or let `make clean` remove it" in done.stderr
    assert [path.name for path in (project / ".venv").iterdir()] == ["bin"]


@pytest.mark.drill
@pytest.mark.long
def test_a_lost_interpreter_is_replaced(project: Path) -> None:
    install(project)
    for name in ("python", "python3"):
        (project / ".venv" / "bin" / name).unlink()
        (project / ".venv" / "bin" / name).symlink_to("/nowhere/python3")
    assert install(project).returncode == 0
    assert is_whole(project)


def script(folder: Path, text: str) -> str:
    path = folder / "a python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_that_will_not_do_is_told(project: Path, tmp_path: Path) -> None:
    done = install(project, PYTHON="/nowhere/python3")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, and there is no /nowhere/python3: install one, or name it" in done.stderr
    done = install(project, PYTHON=script(tmp_path, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac'))
    assert done.returncode != 0
    assert "is Python 3.9.2: install one, or name it: make PYTHON=python3.x" in done.stderr
    # As Debian has it without the package python3-venv.
    lacking = (
        "import runpy, sys; sys.modules['ensurepip'] = None; sys.argv.pop(0);"
        " runpy.run_path(sys.argv[0], None, '__main__')"
    )
    lacks = f'case "$1" in make/*) exec {sys.executable} -c "{lacking}" "$@";; *) exec {sys.executable} "$@";; esac'
    done = install(project, PYTHON=script(tmp_path, lacks))
    assert done.returncode != 0
    assert "apt-get install python3." in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can stage this")
def test_a_folder_that_cannot_be_written_to_is_told(project: Path) -> None:
    project.chmod(0o555)
    reader = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    reader += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "make", TARGET]
    done = subprocess.run(reader, cwd=project, env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert ".venv: Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
