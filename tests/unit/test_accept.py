"""Which media type a request would rather have."""

import pytest
from sanic.compat import Header

from service.rest.accept import prefers

STREAM, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "stream"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/event-stream;q=0.5", True),
        ("text/event-stream; q=0", False),
        ("text/event-stream, application/json", False),
        ("text/event-stream, application/json;q=0.9", True),
        ("text/event-stream;q=0.8, application/json;q=0.9", False),
        ("text/event-stream;q=0.9, */*;q=0.8", True),
        ("text/event-stream;q=0.2, */*;q=0.8", False),
        ("*/*, application/json;q=0.1", True),
        ("text/*", True),
        ("text/*, text/event-stream;q=0, */*;q=0.1", False),
        ("text/html, */*;q=0.8", False),
        ("text/event-stream;q=2", False),
        ("text/event-stream;q=none", False),
        (";;;,,q=1,text/event-stream;;", True),
        ("text/event-stream;charset=utf-8", True),
    ],
)
def test_json_unless_a_stream_is_asked_for_more(accept: str | None, stream: bool) -> None:  # noqa: FBT001  a parameter
    headers = Header([] if accept is None else [("accept", accept)])
    assert prefers(headers, STREAM, JSON) is stream


def test_several_lines_are_one_list() -> None:
    assert prefers(Header([("accept", "application/json;q=0.1"), ("accept", STREAM)]), STREAM, JSON)
