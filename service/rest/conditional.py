"""Conditional requests, RFC 9110 section 13: entity tags of tasks and lists."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sanic.compat import Header

_TAG = re.compile(r'(?:^|,)\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?=,|$)')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def task_tag(updated_at: float) -> str:
    """A task's strong tag: `updated_at` rises with every change, so it names exactly one state of the task.

    In seconds since the epoch, which are exact to the microsecond until the year 2242.
    """
    return f'"{round(updated_at * 1_000_000):x}"'


def body_tag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:32]}"'


def matching_times(headers: Header) -> list[datetime] | None:
    """The states of a task that `If-Match` allows: None for any (no header, or `*`), an empty list for none.

    Comparison is strong, so weak tags never match.
    """
    field = _combined(headers, "if-match")
    if field is None or field.strip() == "*":
        return None
    return [time for weak, tag in _TAG.findall(field) if not weak and (time := _time_of(tag)) is not None]


def not_modified(headers: Header, tag: str) -> bool:
    """Whether `If-None-Match` names this tag; comparison is weak."""
    field = headers.getone("if-none-match", None)
    if field is None:
        return False
    if field == tag:
        return True
    field = _combined(headers, "if-none-match") or ""
    return field.strip() == "*" or any(found == tag for _, found in _TAG.findall(field))


def _combined(headers: Header, name: str) -> str | None:
    values = headers.getall(name, None)
    return None if values is None else ",".join(values)


def _time_of(tag: str) -> datetime | None:
    try:
        microseconds = int(tag[1:-1], 16)
        time = _EPOCH + timedelta(microseconds=microseconds)
    except (ValueError, OverflowError):
        return None
    # Tags are compared as text: no other spelling of the number counts.
    return time if tag == f'"{microseconds:x}"' else None
