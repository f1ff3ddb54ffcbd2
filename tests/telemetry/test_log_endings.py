"""Whatever ends a process, and whoever reads its log: nothing is lost silently, and nobody waits for the reader."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.database import ROOT, Database, bare_environment
from tests.support.drill import eventually, pick
from tests.support.server import Service, free_port, serve
from tests.support.users import client, sign_up

AHEAD = "INSERT INTO aerich (version, app, content) VALUES ('9999_20300101000000_future.py', 'models', '{}')"


def events(log: str) -> list[dict[str, Any]]:
    """Every line is a whole event, but for what the interpreter itself may have printed to standard error."""
    return [json.loads(line) for line in log.splitlines() if "ResourceWarning" not in line]


def test_a_database_that_is_ahead_is_served_and_logged(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    fresh_database.query(AHEAD)
    service = start_service(fresh_database.url)
    eventually(lambda: "listener_connected" in service.log())  # which comes some time after the start
    httpx.get(f"{service.url}/nowhere", headers={"X-Request-Id": "seen"}, verify=False)
    assert service.stop() == 0
    log = events(service.log())
    names = [line["event"] for line in log]
    assert (names[0], names[-3:]) == ("schema_ahead", ["request", "draining", "stopped"])
    assert "started" in names
    assert log[-3]["request_id"] == "seen"


@pytest.mark.drill
def test_every_answered_request_is_in_the_log_and_stopped_is_its_last_line(database: Database) -> None:
    for _ in range(pick(2, 30)):
        service = Service(database.url)
        service.start()
        answered: list[str] = []
        stop = threading.Event()
        asking = threading.Thread(target=_ask, args=(service, answered, stop))
        asking.start()
        eventually(answered.copy, within_seconds=30)
        time.sleep(random.uniform(0.0, 0.3))
        status = service.stop()
        stop.set()
        asking.join()
        log = events(service.log())
        assert (status, log[-1]["event"]) == (0, "stopped")
        assert set(answered) <= {line.get("request_id") for line in log}


def _ask(service: Service, answered: list[str], stop: threading.Event) -> None:
    with client(service.url) as http:
        while not stop.is_set():
            request_id = str(uuid4())
            try:
                http.get("/nowhere", headers={"X-Request-Id": request_id})
            except httpx.TransportError:
                return
            answered.append(request_id)


@pytest.mark.drill
def test_sigterm_at_any_moment_of_the_start_ends_the_process_in_order(database: Database) -> None:
    began_at = time.monotonic()
    with serve(database.url):
        seconds = time.monotonic() - began_at
    for _ in range(pick(4, 100)):
        service = Service(database.url)
        service.spawn()
        time.sleep(random.uniform(0.0, 1.2 * seconds))
        began_at = time.monotonic()
        status = service.stop()
        assert time.monotonic() - began_at < 10
        names = [line["event"] for line in events(service.log())]
        if "started" in names:
            assert (status, names[-2:]) == (0, ["draining", "stopped"])
        else:  # before the command has begun, the interpreter dies of it
            assert names == []
            assert status in {-signal.SIGTERM, 128 + signal.SIGTERM}


MOMENTS = {
    "while the app is made": "service.app.Lifecycle.__init__",
    "while the pool is opened": "service.database.lender.Lender.open",
    "while Sanic ignores signals": "sanic.server.runners.signal_func",
    "after the start, before the loop runs for good": "service.lifecycle._tune_garbage_collection",
    "twice, while it drains": "service.http.admission.Admission.end",
    "while it stops": "service.database.lender.Lender.close",
}
SHORT = ("while Sanic ignores signals", "after the start, before the loop runs for good", "twice, while it drains")
_RUN = """
import functools, os, pkgutil, signal, sys
where, _, name = sys.argv.pop(1).rpartition(".")
owner = pkgutil.resolve_name(where)
original = getattr(owner, name)

@functools.wraps(original)
def interrupted(*arguments, **options):
    result = original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    return result

setattr(owner, name, interrupted)
from service.__main__ import main
sys.argv = ["tasks-service", "serve"]
main()
"""


@pytest.mark.drill
@pytest.mark.parametrize("moment", pick(SHORT, tuple(MOMENTS)))
def test_sigterm_in_the_worst_moment_is_neither_lost_nor_deadly(database: Database, moment: str) -> None:
    service = Service(database.url)
    service.command = [sys.executable, "-c", _RUN, MOMENTS[moment]]
    service.spawn()
    assert service.process is not None
    try:
        if "drains" in moment or "stops" in moment:
            eventually(service.ready, within_seconds=30)
            service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    finally:
        service.stop(signal.SIGKILL)
    names = [line["event"] for line in events(service.log())]
    steps = [name for name in names if name in {"started", "draining", "stopped"}]  # the listener may come in between
    assert steps == ["started", "draining", "stopped"]
    assert names[-1] == "stopped"


def test_what_is_logged_before_a_crash_is_written(fresh_database: Database) -> None:
    fresh_database.query(AHEAD)
    service = Service(fresh_database.url)
    crash = _RUN.replace("    os.kill(os.getpid(), signal.SIGTERM)", "    raise ZeroDivisionError")
    service.command = [sys.executable, "-c", crash, "service.lifecycle._tune_garbage_collection"]
    service.spawn()
    assert service.process is not None
    assert service.process.wait(30) == 1
    lines, _, trace = service.log().partition("Traceback")
    log = [json.loads(line) for line in lines.splitlines()]
    assert log[0]["event"] == "schema_ahead"
    assert log[-1]["error"] == "ZeroDivisionError"
    assert "ZeroDivisionError" in trace


def test_a_reader_that_does_not_read_holds_up_nobody_and_hears_what_it_missed(database: Database) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    service = Service(database.url)
    service.command = [sys.executable, "-c", _SHORT_QUEUE]
    log = bytearray()
    try:
        service.start(stdout=writer)
        os.close(writer)
        with client(service.url) as http:
            for _ in range(500):  # several times what the pipe and the queue behind it hold
                assert http.get("/nowhere").status_code == 404
            eventually(lambda: service.metric("log_lines_dropped_total") > 100)
            while b"log_lines_dropped" not in log:
                log += os.read(reader, 1 << 16)
            assert http.get("/nowhere", headers={"X-Request-Id": "the-last-one"}).status_code == 404
        reading = threading.Thread(target=_read_to_the_end, args=(reader, log))
        reading.start()
        assert service.stop() == 0
        reading.join()
    finally:
        service.stop(signal.SIGKILL)
        os.close(reader)
    lines = events(log.decode())
    names = [line["event"] for line in lines]
    assert names.count("request") + sum(line.get("lines", 0) for line in lines) == 501
    assert names[-3:] == ["request", "draining", "stopped"]
    assert lines[-3]["request_id"] == "the-last-one"


_SHORT_QUEUE = """
import sys
from service.telemetry import output
output.LINES_MAX = 100
from service.__main__ import main
sys.argv = ["tasks-service", "serve"]
main()
"""


def _read_to_the_end(reader: int, into: bytearray) -> None:
    while chunk := os.read(reader, 1 << 16):
        into += chunk


def test_a_reader_that_never_reads_does_not_hold_up_the_end(database: Database) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    service = Service(database.url)
    try:
        service.start(stdout=writer)
        os.close(writer)
        with client(service.url) as http:
            for _ in range(50):
                http.get("/nowhere", headers={"X-Request-Id": "x" * 128})
        began_at = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began_at < 10
    finally:
        os.close(reader)


def _nobody_reads() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "stdout", [_nobody_reads, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["closed", "disk full"]
)
def test_a_log_that_nobody_can_take_stops_no_service(database: Database, stdout: Callable[[], int], form: str) -> None:
    descriptor = stdout()
    service = Service(database.url, {"LOG_FORMAT": form})
    try:
        service.start(stdout=descriptor)
        with client(service.url) as http:
            assert http.get("/nowhere").status_code == 404
            eventually(lambda: service.metric("log_lines_dropped_total") >= 2)
    finally:
        os.close(descriptor)
        assert service.stop() == 0
    assert service.log() == ""


def test_a_standard_output_that_was_never_open_is_nobody_elses(database: Database) -> None:
    """The first connection that is opened gets its number: no log line may go there."""
    service = Service(database.url)
    service.command = ["sh", "-c", 'exec "$@" >&-', "sh", *service.command]
    service.start()
    with sign_up(service.url) as user:
        user.create("one")
        assert len(user.list()) == 1
    assert service.stop() == 0
    assert service.log() == ""


def test_a_command_whose_reader_has_seen_enough_succeeds(database: Database) -> None:
    writer = _nobody_reads()
    done = subprocess.run(
        [sys.executable, "-m", "service", "migrate", "history"],
        cwd=ROOT,
        env={**bare_environment(), "DATABASE_URL": database.url},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_sigterm_ends_a_command_that_waits(database: Database) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "service", "migrate", "check"],
        cwd=ROOT,
        env={**bare_environment(), "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert waiting.stdout is not None
    assert "database_awaited" in waiting.stdout.readline()
    waiting.terminate()
    output, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, output) == (128 + signal.SIGTERM, "")
