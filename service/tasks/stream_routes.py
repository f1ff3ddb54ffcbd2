"""The changes as a stream: parse, call, hand the connection over."""

from sanic.compat import Header

from service.accounts.principal import principal_of
from service.accounts.tokens import Principal
from service.http.event_stream import EVENT_STREAM, begin_stream, stream_head_only
from service.http.requests import Request
from service.http.responses import JSON, NO_STORE
from service.rest.accept import prefers
from service.tasks import events
from service.tasks.changes import Changes, Position, SyncTokens, read_position
from service.tasks.delivery import CHANGES_FIRST
from service.tasks.services import services_of
from service.tasks.streams import Reader, Stream

LAST_EVENT_ID = "Last-Event-ID"

HEADERS = {**NO_STORE, "Vary": "Accept", "X-Accel-Buffering": "no"}
"""The last one is for nginx, which would keep events back until it has some kilobytes of them."""


def wants_stream(headers: Header) -> bool:
    return prefers(headers, EVENT_STREAM, JSON)


async def stream_changes(request: Request, since: str | None) -> None:
    """Answer the request with a stream that begins behind `Last-Event-ID`, or `since`, or now.

    Raises Invalid, TooManyStreams, StreamsFull, SyncTokenExpired or Unauthorized.
    """
    services, principal = services_of(request), principal_of(request)
    streaming, position = services.streaming, _position(request, services.sync_tokens, principal, since)
    with streaming.streams.place(principal.user_id) as reader:
        wakes = reader.wakes
        page = await _first_page(request, reader, position)
        if request.method == "HEAD":
            await stream_head_only(request, dict(HEADERS))
            return
        token = services.sync_tokens.write(principal.user_id, page.position)
        first = events.opening(streaming.delivery.render(reader, page) or events.token_alone(token))
        stream = Stream(
            streaming.streams, reader, page.position, behind=page.more, limit=CHANGES_FIRST, request_id=str(request.id)
        )
        await begin_stream(request, stream, first, dict(HEADERS))
        streaming.streams.add(stream, expires_at=principal.expires_at)
        streaming.delivery.begin(stream, page, wakes=wakes)
    if streaming.streams.draining:
        stream.end("drain", events.closing())


def _position(request: Request, tokens: SyncTokens, principal: Principal, since: str | None) -> Position | None:
    """None for now. A client that comes back sends the URL that it began with, and its last id beside it."""
    last = request.headers.getone(LAST_EVENT_ID, "")
    if last:
        return tokens.read(principal.user_id, last, LAST_EVENT_ID)
    return None if since is None else tokens.read(principal.user_id, since)


async def _first_page(request: Request, reader: Reader, position: Position | None) -> Changes:
    services = services_of(request)
    if position is None:
        retention_seconds = services.sync_tokens.retention_seconds
        return await read_position(services.pool, reader.user_id, retention_seconds=retention_seconds)
    return await services.streaming.delivery.read(reader, position)
