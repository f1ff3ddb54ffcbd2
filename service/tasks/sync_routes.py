"""The changes since a token: parse, call, render."""

from typing import Annotated

import orjson
from pydantic import BaseModel, ConfigDict, Field
from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.http.requests import Request
from service.http.responses import NO_STORE, READ, json_bytes
from service.tasks.changes import BEGINNING, read_changes
from service.tasks.parameters import LIMIT_DEFAULT, Limit, parse_query
from service.tasks.services import services_of
from service.tasks.stream_routes import stream_changes, wants_stream

sync = Blueprint("sync", url_prefix="/api/<user_id:str>/tasks/changes")
sync.on_request(owner_of_path)

SinceToken = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"})]


class ChangeParameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    since: SinceToken | None = None
    limit: Limit = LIMIT_DEFAULT


@sync.route("", methods=READ)
async def list_changes(request: Request, user_id: str) -> HTTPResponse | None:
    """List what has changed since a token, or follow it as a stream"""
    services, mine = services_of(request), principal_of(request).user_id
    tokens = services.sync_tokens
    asked = parse_query(ChangeParameters, request.query_string)
    if wants_stream(request.headers):
        await stream_changes(request, asked.since)
        return None
    since = BEGINNING if asked.since is None else tokens.read(mine, asked.since)
    page = await read_changes(services.pool, mine, since, limit=asked.limit, retention_seconds=tokens.retention_seconds)
    body = b'{"changes":[%b],"next":%b,"more":%b}' % (
        b",".join(change.document for change in page.changes),
        orjson.dumps(tokens.write(mine, page.position)),
        b"true" if page.more else b"false",
    )
    return json_bytes(body, headers={**NO_STORE, "Vary": "Accept"})
