"""The Makefile in a clone whose path, neighbours and surroundings are not the usual ones."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from service.locks import OwnerLock
from tests.support.clone import cloned, make
from tests.support.database import bare_environment
from tests.support.development import development, failed, started
from tests.support.drill import DRILL, eventually

NAMES = ("a b", 'it\'s $HOME "x" `id` & ; #', "ü -n")


def neighbours(folder: Path, name: str) -> list[Path]:
    """Folders whose names are parts of the clone's."""
    found = [folder / part for part in ("a", "b", "it's", "x", ".venv", ".data", ".tools") if part != name]
    for neighbour in found:
        neighbour.mkdir()
        (neighbour / "precious").touch()
    return found


def filled(clone: Path) -> list[Path]:
    made = [clone / name for name in (".venv", ".tools", ".data")]
    for folder in made:
        (folder / "deep").mkdir(parents=True)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_clean_removes_what_this_clone_has_made_and_nothing_else(tmp_path: Path, name: str) -> None:
    clone = cloned(tmp_path / name, with_environment=False)
    kept = neighbours(tmp_path, name)
    made = filled(clone)
    leaks = {"CDPATH": str(tmp_path), "MAKEFLAGS": "e", "VENV": str(kept[0]), "TOOLS": "../a", "BIN": "../b"}
    done = make(clone, "clean", **leaks)
    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in made)
    assert all((path / "precious").exists() for path in kept)
    filled(clone)
    assert make(clone, "clean", f"VENV={kept[0]}", f"TOOLS={kept[1]}").returncode == 0
    assert all((path / "precious").exists() for path in kept)


def test_clean_removes_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b", with_environment=False)
    other = neighbours(tmp_path, "a b")[0]
    for name in (".venv", ".tools", ".data"):
        (clone / name).symlink_to(other)
    assert make(clone, "clean").returncode == 0
    assert not any((clone / name).is_symlink() for name in (".venv", ".tools", ".data"))
    assert (other / "precious").exists()


def test_clean_leaves_all_as_it_is_while_the_service_runs(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "clone", with_environment=False)
    made = filled(clone)
    lock = OwnerLock(clone / ".data" / "postgres.lock")
    lock.acquire("process 1234, http://127.0.0.1:8000")
    done = make(clone, "clean")
    assert done.returncode != 0
    assert "in use by process 1234, http://127.0.0.1:8000; stop that one first" in done.stderr
    assert all((path / "deep").exists() for path in made)
    lock.release()
    assert make(clone, "clean").returncode == 0


def test_run_says_what_it_does_and_ends_whole_when_make_is_ended(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b")
    leaks = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "MAKEFLAGS": "j8"}
    with development(clone, ["make", "run"], **leaks) as running:
        running.await_said("ready")
        assert f"  docs  {running.url}/docs" in running.said()
        assert f"  page  {running.url}/example" in running.said()
        assert httpx.get(f"{running.url}/example", timeout=10).status_code == 200
        assert f", {running.url}; stop that one first" in failed(clone, ["make", "run"])
        running.end(signal.SIGTERM)
    assert "Traceback" not in running.said()


def test_ctrl_c_before_anything_has_loaded_is_no_traceback(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "clone")
    (clone / "service" / "__init__.py").write_text(
        '__version__ = "1"\nimport os, pathlib, time\npathlib.Path("loading").touch()\ntime.sleep(1)\n'
    )
    with started(clone, ["make", "run"]) as running:
        running.await_there("loading")
        os.killpg(running.process.pid, signal.SIGINT)
        running.ended()
    assert "Traceback" not in running.said()
    assert not (clone / ".data" / "postgres").exists()


def test_broken_code_is_told_and_the_next_change_is_taken(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "clone")
    module = clone / "service" / "identifiers.py"
    right = module.read_text()
    with development(clone, ["make", "run"]) as running:
        running.await_said("ready")
        module.write_text("this is no Python")
        running.await_said("the service has ended with status 1; it is started again when the code changes")
        module.write_text(right)
        eventually(lambda: running.said().count("the code has changed") == 2, 60)
        running.await_ready()


def test_the_other_targets_work_where_the_path_has_a_space(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b")
    done = make(clone, "test", "ARGS=tests/unit/test_cursors.py -q -p no:cacheprovider", "WORKERS=0", PGPORT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    done = make(clone, "load", "SCRIPT=nonsense")
    assert "usage: make load SCRIPT=one of" in done.stderr
    if DRILL:
        done = make(clone, "check")
        assert done.returncode == 0, done.stdout + done.stderr
        done = make(clone, "lock")
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_built_from_this_clone_whatever_its_path(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b", with_environment=False)
    fake = clone / ".tools" / "bin" / "docker"
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\nfor part in "$@"; do echo "<$part>"; done\n')
    fake.chmod(0o755)
    done = make(clone, "image", "IMAGE=x:1", GIT_DIR="/nowhere")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("<")]
    assert told[:3] == ["<build>", "<--tag>", "<x:1>"]
    assert told[-1] == "<.>"
    assert any(line.startswith("<COMMIT=") for line in told)
    assert "<COMMIT=unknown>" not in told


def test_a_tool_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b", with_environment=False)
    fake = tmp_path / "bin" / "go"
    fake.parent.mkdir()
    env = {"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}", "GOBIN": "/nowhere", "GOFLAGS": "-mod=vendor"}
    begun = 'mkdir -p "$GOBIN"; echo half >"$GOBIN/helm"; '
    fake.write_text(f"#!/bin/sh\n{begun} kill -KILL $$\n")
    fake.chmod(0o755)
    assert make(clone, ".tools/bin/helm", **env).returncode != 0
    assert not (clone / ".tools" / "bin" / "helm").exists()
    fake.write_text(f'#!/bin/sh\n{begun} echo "whole, with $GOFLAGS$GOOS" >"$GOBIN/helm"\n')
    done = make(clone, ".tools/bin/helm", **env)
    assert done.returncode == 0, done.stderr
    assert (clone / ".tools" / "bin" / "helm").read_text() == "whole, with \n"


def test_ci_runs_in_this_clone_wherever_it_is_called(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "a b")
    (tmp_path / "elsewhere" / ".ci").mkdir(parents=True)
    (clone / "make" / "zz.mk").write_text("check test:\n\t@pwd\n")
    command = ["bash", ".ci/run"]
    env = {**bare_environment(), "CDPATH": str(tmp_path / "elsewhere"), "CI": "false"}
    done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert f"{clone}\n" in done.stdout, done.stderr


def test_a_dollar_in_the_databases_url_stays_one(tmp_path: Path) -> None:
    clone = cloned(tmp_path / "clone", with_environment=False)
    (clone / "make" / "show.mk").write_text('show:\n\t@printf "%s\\n" "$$DATABASE_URL"\n')
    url = "postgres://u:pa$word$$@h/d?x=#1"
    assert make(clone, "show", f"DATABASE_URL={url}").stdout == f"{url}\n"
    assert make(clone, "show", DATABASE_URL=url).stdout == f"{url}\n"
