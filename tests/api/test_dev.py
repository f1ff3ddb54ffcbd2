"""`service dev`, which `make run` runs: one command, and nothing is left behind whatever ends it."""

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.database.embedded import embedded_postgres
from service.database.postgres_programs import UNPRIVILEGED
from tests.support.development import DEV, Development, development, failed, runs, started
from tests.support.drill import pick
from tests.support.users import PASSWORD

UNTRUE = {
    "PGPORT": "5999",
    "PGHOST": "nowhere.invalid",
    "PGDATA": "/nowhere",
    "PGUSER": "nobody-we-know",
    "PGOPTIONS": "-c statement_timeout=1",
    "PGSERVICE": "nope",
    "PGSSLMODE": "verify-full",
    "PGTZ": "nonsense",
    "LC_ALL": "xx_YY.nope",
    "LANG": "xx_YY.nope",
    "TZ": "nonsense",
    "TMPDIR": "/nowhere",
    "LD_LIBRARY_PATH": "/nowhere",
    "http_proxy": "http://127.0.0.1:9",
    "JWT_SECRET": "",
    "LOG_FORMAT": "",
    "HOME": None,
}


def sign_up_or_in(url: str, how: str) -> int:
    body = {"email": "ada@example.com", "password": PASSWORD}
    return httpx.post(f"{url}/api/auth/{how}", json=body, timeout=10, verify=False).status_code


def interrupt_group(running: Development) -> None:
    """As the terminal's Ctrl-C: all of the group."""
    os.killpg(running.process.pid, signal.SIGINT)


def test_it_keeps_its_data_survives_being_killed_and_leaves_nothing_running(tmp_path: Path) -> None:
    with development(tmp_path) as first:
        assert first.postmaster().is_running()
        assert sign_up_or_in(first.url, "signup") == 201
        first.end(signal.SIGKILL)
    with development(tmp_path) as second:
        assert sign_up_or_in(second.url, "login") == 200
        assert second.end(signal.SIGINT) == 0
        assert "Traceback" not in second.said()


def test_a_second_one_says_who_has_the_database_and_leaves_it_alone(tmp_path: Path) -> None:
    with development(tmp_path) as first:
        postmaster = first.postmaster()
        said = failed(tmp_path)
        assert f"in use by process {first.process.pid}, {first.url}" in said
        assert len(said.strip().splitlines()) == 1
        assert runs(postmaster)
        assert sign_up_or_in(first.url, "signup") == 201
        assert first.end(signal.SIGTERM) == 0
    assert_ended_in_order(first)


def test_taken_ports_are_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = failed(tmp_path, HOST="127.0.0.1", PORT=port)
        taken = f"PORT: cannot listen on 127.0.0.1:{port}: Address already in use by process {os.getpid()}, "
        assert said.startswith(taken)
        assert "make run PORT=8001" in said
    assert not (tmp_path / ".data" / "postgres").exists()


def test_mistakes_in_settings_are_told_before_anything_is_made(tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("5", encoding="utf-8")
    word = tmp_path / "word"
    word.write_text("json", encoding="utf-8")
    from_files = {"DRAIN_SECONDS_FILE": str(number), "LOG_FORMAT_FILE": str(word)}  # no mistakes
    said = failed(tmp_path, DB_POOL_MAX="many", **from_files)
    assert [line.partition(":")[0].strip() for line in said.splitlines()[1:]] == ["DB_POOL_MAX"]
    assert not (tmp_path / ".data" / "postgres").exists()


def test_the_surroundings_change_nothing(tmp_path: Path) -> None:
    command = ["sh", "-c", f"umask 0777; exec {' '.join(DEV)}"]
    (tmp_path / ".data").mkdir(mode=0o700)  # with such a umask not even we could make one to write to
    with development(tmp_path, command, **UNTRUE) as running:
        assert sign_up_or_in(running.url, "signup") == 201
        assert "starting PostgreSQL" in running.said()
        running.await_said("ready")


def test_its_end_is_told_when_its_database_has_ended(tmp_path: Path) -> None:
    with development(tmp_path) as running:
        running.await_said("ready")
        running.postmaster().send_signal(signal.SIGQUIT)
        assert running.ended() == 1
    assert "PostgreSQL has ended" in running.said()
    assert "postgres.log" in running.said()


def test_however_often_it_is_asked_to_end_all_of_it_ends(tmp_path: Path) -> None:
    with development(tmp_path) as running:
        assert running.end(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) == 0
    assert_ended_in_order(running)


def assert_ended_in_order(running: Development) -> None:
    assert "Traceback" not in running.said()
    record = running.folder / ".data" / "postgres" / "postmaster.pid"
    assert not record.exists(), "PostgreSQL did not have the time it needs"


def test_ctrl_c_ends_what_a_script_has_put_into_the_background(tmp_path: Path) -> None:
    """Whose shell has it ignored; all of it is of one group."""
    with development(tmp_path, ["sh", "-c", f"trap '' INT; {' '.join(DEV)}"]) as running:
        interrupt_group(running)
        assert running.ended() == 0


def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    terminal, end_of_child = pty.openpty()
    name = os.ttyname(end_of_child)
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL);"  # the tests themselves may run under nohup
        f" os.open({name!r}, os.O_RDWR); os.execv({DEV[0]!r}, {list(DEV)!r})"  # a leader's first is its own
    )
    with development(tmp_path, [sys.executable, "-c", code]) as running:
        os.close(end_of_child)
        os.close(terminal)
        running.ended()


Moment = Callable[[Development], None]
Interruption = tuple[Moment, signal.Signals]

MOMENTS: list[Moment] = [
    lambda running: running.await_there(".data"),
    lambda running: running.await_there(".data/postgres.making-*"),
    lambda running: running.await_there(".data/postgres.making-*/global"),
    lambda running: running.await_there(".data/postgres"),
    lambda running: running.await_there(".data/postgres/postmaster.pid"),
    lambda running: running.await_said("applying migrations"),
    lambda running: running.await_said("migration_upgrade"),
]
"""Of the very first start."""

EACH: list[list[Interruption]] = [[(moment, how)] for moment in MOMENTS for how in (signal.SIGINT, signal.SIGKILL)]
ONE_AFTER_THE_OTHER: list[list[Interruption]] = [
    [
        (MOMENTS[2], signal.SIGINT),
        (MOMENTS[2], signal.SIGKILL),
        (MOMENTS[5], signal.SIGINT),
        (MOMENTS[5], signal.SIGKILL),
    ]
]
"""The killed ones last: what they leave half made would be taken for the next one's."""


@pytest.mark.drill
@pytest.mark.parametrize("interruptions", pick(ONE_AFTER_THE_OTHER, EACH))
def test_the_next_start_works_at_whatever_moment_the_first_was_ended(
    tmp_path: Path, interruptions: list[Interruption]
) -> None:
    for moment, how in interruptions:
        with started(tmp_path) as running:
            moment(running)
            if how == signal.SIGINT:
                interrupt_group(running)
            running.end(how)
        assert "Traceback" not in running.said()
    with development(tmp_path) as again:
        assert sign_up_or_in(again.url, "signup") == 201
    assert not list(tmp_path.glob(".data/*making*"))


@pytest.mark.drill
def test_the_next_start_works_after_any_delay(tmp_path: Path) -> None:
    """Moments that nobody has thought of."""
    for step in range(pick(1, 30)):
        folder = tmp_path / str(step)
        folder.mkdir()
        with started(folder) as running:
            running.await_there(".data")
            with pytest.raises(subprocess.TimeoutExpired):
                running.process.wait(0.1 + step * 0.1)
            interrupt_group(running)
            running.end(signal.SIGINT)
        with development(folder) as again:
            assert sign_up_or_in(again.url, "signup") == 201
        shutil.rmtree(folder)


def test_a_number_that_is_another_process_s_by_now_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / ".data" / "postgres" / "postmaster.pid"
    with embedded_postgres(tmp_path / ".data" / "postgres", {"fsync": "off"}):
        text = record.read_text()
    with tempfile.TemporaryDirectory(prefix="tasks-impostor-") as folder:
        Path(folder).chmod(0o755)
        impostor = Path(folder) / "postgres"
        impostor.symlink_to(shutil.which("sleep") or "")
        # The same user as the server's: it is then that PostgreSQL itself refuses to start.
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        with subprocess.Popen([impostor, "600"], user=user, cwd="/") as other:
            try:
                record.write_text(text.replace(text.split()[0], str(other.pid), 1))
                with development(tmp_path) as second:
                    assert sign_up_or_in(second.url, "signup") == 201
                assert other.poll() is None
            finally:
                other.kill()


def test_servers_that_lost_their_postmaster_are_taken_over(tmp_path: Path) -> None:
    with development(tmp_path) as first:
        postmaster = first.postmaster()
        frozen = next(child for child in postmaster.children() if "checkpointer" in " ".join(child.cmdline()))
        frozen.suspend()  # so that it does not notice that the postmaster is gone
        first.process.kill()
        postmaster.kill()
        with development(tmp_path) as second:
            assert sign_up_or_in(second.url, "signup") == 201
        assert not runs(frozen)
