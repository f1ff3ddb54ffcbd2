"""Structured logs on standard output: one event a line, the service's own and those of the libraries alike."""

import atexit
import logging
import sys
from datetime import UTC, datetime
from typing import Self

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from service.telemetry.output import Output

FLUSH_TIMEOUT_SECONDS = 1.0
"""How long the end of a process waits for a reader that does not read."""


def _exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The kind of an exception and where it arose, never its text: drivers put rows and values into theirs."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        if cause := error.__cause__:
            event["cause"] = type(cause).__name__
        if state := getattr(error, "sqlstate", None) or getattr(cause, "sqlstate", None):
            event["sqlstate"] = state
        frames, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
            trace = trace.tb_next
        event["trace"] = frames[-12:]
    return event


def _timestamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _json(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    return _line(event)


def _line(event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_UTC_Z)
    except TypeError:  # half of a surrogate pair, a number beyond 64 bits: an odd line is better than none
        return orjson.dumps({ascii(key): ascii(value) for key, value in event.items()})


def _encode(_: WrappedLogger, __: str, event: object) -> bytes:
    return str(event).encode(errors="backslashreplace")


class _Lines:
    """structlog's logger, at the end of its processors: what comes out of them is a line."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.takes_requests = False
        """Whether requests are logged, and as JSON: what `configure` has decided."""

    def __call__(self, *_: object) -> Self:
        """Its own factory: there is one standard output."""
        return self

    def msg(self, line: bytes) -> None:
        self.output.write(line)

    log = debug = info = warning = error = critical = msg


def _warn_dropped(lines: int) -> None:
    structlog.get_logger().warning("log_lines_dropped", lines=lines)


_lines = _Lines(Output(_warn_dropped))


def log_request(line: dict[str, object]) -> None:
    """The event `request`, which is most of what a service logs, without structlog's way there: 3 us instead of 30.

    The line is the logger's from now on.
    """
    if not _lines.takes_requests:
        structlog.get_logger().info("request", **line)
        return
    line["event"], line["level"], line["timestamp"] = "request", "info", datetime.now(UTC)
    _lines.msg(_line(line))


def flush() -> None:
    """Wait until everything logged so far is written, but not for ever."""
    _lines.output.flush(FLUSH_TIMEOUT_SECONDS)


def dropped() -> int:
    """How many lines were dropped: the queue was full, or standard output did not take them."""
    return _lines.output.dropped()


def configure(level: str, form: str) -> None:
    """Set up structlog and the standard library's logging for the process. `form` is "json" or "console", in any case.

    A level that does not exist counts as info here: this runs before the settings are checked, which then refuse it.
    """
    threshold = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    form = form.lower()
    common: list[Processor] = [structlog.processors.add_log_level, _exception]
    if form == "json":
        render: list[Processor] = [_timestamp, _json]
    else:
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        colors = sys.stdout is not None and sys.stdout.isatty()
        render = [stamp, structlog.dev.ConsoleRenderer(colors=colors), _encode]
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_lines,
        cache_logger_on_first_use=True,
    )
    _lines.takes_requests = form == "json" and threshold <= logging.INFO
    logging.basicConfig(handlers=[_Forward()], level=max(threshold, logging.WARNING), force=True)
    atexit.register(flush)


class _Forward(logging.Handler):
    """Records of libraries become events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno,
                "library",
                logger=record.name,
                message=record.getMessage(),
                exc_info=record.exc_info,
            )
        except Exception:  # noqa: BLE001  a record that cannot be rendered is no fault of the code that logs it
            self.handleError(record)
