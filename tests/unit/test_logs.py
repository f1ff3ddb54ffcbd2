"""The way of the one event that every request logs."""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
import structlog

from service.telemetry import logs
from service.telemetry.output import Output

LINE: dict[str, object] = {"method": "GET", "status": 200, "duration_ms": 1.25, "user_id": None}


@pytest.fixture(autouse=True)
def configured_again() -> Iterator[None]:
    yield
    logs.configure("info", "json")
    structlog.reset_defaults()


def written(capfd: pytest.CaptureFixture[str]) -> str:
    logs.flush()
    return capfd.readouterr().out


def test_requests_do_not_pass_through_structlog(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "json")
    monkeypatch.delattr(structlog, "get_logger")
    logs.log_request(dict(LINE))
    line = json.loads(written(capfd))
    assert line.pop("timestamp").endswith("Z")
    assert line == {**LINE, "event": "request", "level": "info"}


def test_both_ways_write_the_same(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.log_request(dict(LINE))
    short = json.loads(written(capfd))
    monkeypatch.setattr(logs._lines, "takes_requests", False)
    logs.log_request(dict(LINE))
    long = json.loads(written(capfd))
    assert long.pop("timestamp")[:10] == short.pop("timestamp")[:10]
    assert long == short


def test_a_higher_level_leaves_requests_out(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    logs.log_request(dict(LINE))
    assert written(capfd) == ""


def test_the_console_shows_requests_too(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    logs.log_request(dict(LINE))
    assert "method=GET" in written(capfd)


@pytest.mark.parametrize("value", ["half of a pair: \ud800", 2**70, {1: 2}, object()])
def test_no_value_is_too_odd_for_a_line(capfd: pytest.CaptureFixture[str], value: object) -> None:
    logs.configure("info", "json")
    logs.log_request({**LINE, "odd": value})
    structlog.get_logger().info("odd", odd=value)
    logging.getLogger("odd").warning("%s", value)
    assert len([json.loads(line) for line in written(capfd).splitlines()]) == 3
    logs.configure("info", "console")
    structlog.get_logger().info("odd", odd=value)
    assert "odd=" in written(capfd)


def test_a_record_that_cannot_be_rendered_is_no_fault_of_who_logged_it(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "raiseExceptions", False)
        logging.getLogger("odd").error("%d of %d", "one")  # noqa: PLE1206  that is the point
    logging.getLogger("odd").error("after it")
    assert [json.loads(line)["message"] for line in written(capfd).splitlines()] == ["after it"]


def test_lines_of_many_threads_are_whole_and_each_threads_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")

    def work(thread: int) -> None:
        for number in range(1000):
            logs.log_request({"thread": thread, "number": number})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    lines = [json.loads(line) for line in written(capfd).splitlines()]
    assert len(lines) == 4000
    for thread in range(4):
        assert [line["number"] for line in lines if line["thread"] == thread] == list(range(1000))


def test_lines_are_written_where_no_thread_can_be_started(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thread, "start", _no_more_threads)
        output.write(b"first")
        output.write(b"second")
        assert capfd.readouterr().out == "first\nsecond\n"
    output.write(b"third")
    assert output.flush(10)
    assert (capfd.readouterr().out, output.dropped()) == ("third\n", 0)


def _no_more_threads(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_mistake_in_the_thread_ends_no_logging(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "_put", lambda _: 1 // 0)
        output.write(b"lost")
        output.flush(0.5)
    output.write(b"written")
    assert output.flush(10)
    assert capfd.readouterr().out == "written\n"
