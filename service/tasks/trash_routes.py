"""The routes of the trash: parse, call, render."""

from datetime import datetime
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict
from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.database.pool import Executor
from service.http.requests import Request
from service.http.responses import OWN, READ, no_content
from service.rest.conditional import body_tag, check, conditional_json, is_conditional, preconditions
from service.tasks.parameters import LIMIT_DEFAULT, Cursor, Limit, parse_query
from service.tasks.routes import changed, next_link
from service.tasks.schemas import parse_task_id
from service.tasks.services import announce, once, services_of, trash_store

trash = Blueprint("trash", url_prefix="/api/<user_id:str>/trash")
trash.on_request(owner_of_path)
trash.on_response(announce)

SCOPE = "trash"


class TrashParameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


@trash.route("", methods=READ)
async def list_trash(request: Request, user_id: str) -> HTTPResponse:
    """List deleted tasks, last deleted first"""
    principal, cursors = principal_of(request), services_of(request).cursors
    asked = parse_query(TrashParameters, request.query_string)
    behind = None
    if asked.cursor is not None:
        time, task_id = cursors.read(principal.user_id, SCOPE, asked.cursor)
        behind = (datetime.fromisoformat(time), UUID(task_id))
    page, last_document = await trash_store(request).page(asked.limit, behind)
    headers = dict(OWN)
    if last_document is not None:
        last = orjson.loads(last_document)
        cursor = cursors.write(principal.user_id, SCOPE, [last["deleted_at"], last["id"]])
        following = [("limit", str(asked.limit)), ("cursor", cursor)]
        headers["Link"] = next_link(f"/api/{principal.path_id}/trash", following)
    return conditional_json(request, page, headers)


@trash.post("/<task_id:str>/restore")
async def restore_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Restore a deleted task"""
    number, states = parse_task_id(task_id), preconditions(request.headers)

    async def restore(executor: Executor) -> HTTPResponse:
        return changed(request, await trash_store(request, executor).restore(number, states))

    return await once(request, restore)


@trash.delete("/<task_id:str>")
async def erase_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Erase a deleted task"""
    await trash_store(request).erase(parse_task_id(task_id), preconditions(request.headers))
    return no_content()


@trash.delete("")
async def empty_trash(request: Request, user_id: str) -> HTTPResponse:
    """Erase all deleted tasks"""
    store = trash_store(request)
    if is_conditional(request.headers):
        page, _ = await store.page(LIMIT_DEFAULT, None)
        check(request.headers, body_tag(page))
    await store.erase_all()
    return no_content()
