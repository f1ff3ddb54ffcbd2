"""Changes as Server-Sent Events, in the words of https://html.spec.whatwg.org/multipage/server-sent-events.html."""

import random
from collections.abc import Callable, Iterable

from service.tasks.changes import Change, Position

RETRY_MS = 1000
"""When a client comes back after its stream has ended without a word."""

RETRY_AFTER_DRAIN_MS = (200, 2000)
"""When it comes back from a process that ends: not all of them in one moment."""

COMMENT = b":\n\n"

_LINE_BREAKS = tuple((c.encode(), b"\\u%04x" % ord(c)) for c in "\u0085\u2028\u2029")

Write = Callable[[Position], str]
"""A position as a token."""


def opening(events: bytes) -> bytes:
    """How a stream begins; `events` has at least one token, so that every client has one to come back with."""
    return b"retry: %d\n%b" % (RETRY_MS, events)


def closing() -> bytes:
    return b"retry: %d\n\n" % random.randint(*RETRY_AFTER_DRAIN_MS)  # noqa: S311  jitter


def render(changes: Iterable[Change], token: Write) -> bytes:
    """The token last: a client that takes lines as they come has the change before it believes to have seen it."""
    return b"".join(
        b"event: %b\ndata: %b\nid: %b\n\n" % (c.kind.encode(), _line(c.document), token(c.position).encode())
        for c in changes
    )


def _line(document: bytes) -> bytes:
    """JSON escapes the line breaks of Server-Sent Events, but not those at which some clients' libraries split too."""
    for raw, escaped in _LINE_BREAKS:
        document = document.replace(raw, escaped)
    return document


def token_alone(token: str) -> bytes:
    """A client notes the id of an event without data, and tells nobody of it."""
    return b"id: %b\n\n" % token.encode()
