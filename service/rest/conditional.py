"""Conditional requests, RFC 9110 section 13: entity tags, and what requests ask of them.

There is no `Last-Modified`, as a task can change twice in a second. So `If-Modified-Since` and `If-Unmodified-Since`
are ignored, which is what section 13.1 demands for what has no modification date.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sanic import HTTPResponse
from sanic.compat import Header

from service.http.requests import Request
from service.http.responses import json_bytes, unchanged
from service.problems import PreconditionFailed

_TAG = re.compile(r'(?:^|,)\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?=,|$)')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def task_tag(updated_at: float) -> str:
    """A task's strong tag: `updated_at` rises with every change, so it names exactly one state of the task.

    In seconds since the epoch, which are exact to the microsecond until the year 2242.
    """
    return f'"{round(updated_at * 1_000_000):x}"'


def body_tag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:32]}"'


class Preconditions(NamedTuple):
    """The states of a task in which a request may change it, and those in which it may not; None for no condition."""

    allowed: list[datetime] | None = None
    refused: list[datetime] | None = None

    def allow(self, tag: str) -> bool:
        time = _time_of(tag)
        return (self.allowed is None or time in self.allowed) and (self.refused is None or time not in self.refused)


ANY_STATE = Preconditions()


def preconditions(headers: Header) -> Preconditions:
    """What `If-Match` and `If-None-Match` ask of a task that is about to be changed."""
    if not is_conditional(headers):
        return ANY_STATE
    allowed, refused = _named_times(headers, "if-match"), _named_times(headers, "if-none-match")
    if "if-none-match" in headers and refused is None:
        allowed = []  # `*` stands for whatever state the task is in: there is none left
    return Preconditions(allowed, refused)


def is_conditional(headers: Header) -> bool:
    return "if-match" in headers or "if-none-match" in headers


def _named_times(headers: Header, name: str) -> list[datetime] | None:
    """None for any (no header, or `*`). `If-Match` compares strongly, so that weak tags name nothing."""
    return states_named(_combined(headers, name), weak=name != "if-match")


def states_named(field: str | None, *, weak: bool = False) -> list[datetime] | None:
    """The states that a list of tags names: None for any (no list, or `*`). Weak tags count only with `weak`."""
    if field is None or field.strip() == "*":
        return None
    tags = [tag for is_weak, tag in _TAG.findall(field) if weak or not is_weak]
    return [time for tag in tags if (time := _time_of(tag)) is not None]


def not_modified(headers: Header, tag: str) -> bool:
    """Whether a read is answered with 304. Raises PreconditionFailed."""
    if "if-match" in headers:
        _check_match(headers, tag)
    field = headers.getone("if-none-match", None)
    if field is None:
        return False
    if field == tag:
        return True
    field = _combined(headers, "if-none-match") or ""  # compares weakly
    return field.strip() == "*" or any(found == tag for _, found in _TAG.findall(field))


def check(headers: Header, tag: str) -> None:
    """Before a change of what has this tag. Raises PreconditionFailed."""
    if not_modified(headers, tag):
        raise PreconditionFailed(headers={"ETag": tag})


def _check_match(headers: Header, tag: str) -> None:
    field = _combined(headers, "if-match") or ""
    if field.strip() != "*" and ("", tag) not in _TAG.findall(field):
        raise PreconditionFailed(headers={"ETag": tag})


def conditional_json(request: Request, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
    """200 with a tag made of the body, or 304. Raises PreconditionFailed."""
    tag = body_tag(body)
    headers = {**headers, "ETag": tag}
    if not_modified(request.headers, tag):
        return unchanged(headers)
    return json_bytes(body, headers=headers)


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
