"""The way of the one event that every request logs."""

import json
from collections.abc import Iterator

import pytest
import structlog

from service.telemetry import logs

LINE: dict[str, object] = {"method": "GET", "status": 200, "duration_ms": 1.25, "user_id": None}


@pytest.fixture(autouse=True)
def configured_again() -> Iterator[None]:
    yield
    logs.configure("info", "json")
    structlog.reset_defaults()


def written(capfd: pytest.CaptureFixture[str]) -> str:
    logs._output.flush()
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
    monkeypatch.setattr(logs._output, "takes_requests", False)
    logs.log_request(dict(LINE))
    long = json.loads(written(capfd))
    assert long.pop("timestamp")[:10] == short.pop("timestamp")[:10]
    assert long == short


def test_a_higher_level_leaves_requests_out(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    logs.log_request(dict(LINE))
    assert written(capfd) == ""


def test_the_console_shows_requests_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    logs.log_request(dict(LINE))
    assert "method=GET" in capsys.readouterr().out
