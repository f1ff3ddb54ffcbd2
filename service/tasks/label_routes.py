"""The route of the labels: parse, call, render."""

import orjson
from pydantic import BaseModel, ConfigDict
from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.http.requests import Request
from service.http.responses import OWN, READ
from service.rest.conditional import conditional_json
from service.tasks.labels import LABELS_ON_A_PAGE, read_labels
from service.tasks.parameters import Cursor, parse_query
from service.tasks.routes import next_link
from service.tasks.services import services_of

labels = Blueprint("labels", url_prefix="/api/<user_id:str>/labels")
labels.on_request(owner_of_path)

SCOPE = "labels"


class LabelParameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Cursor | None = None


@labels.route("", methods=READ)
async def list_labels(request: Request, user_id: str) -> HTTPResponse:
    """List the labels in use"""
    principal, services = principal_of(request), services_of(request)
    asked = parse_query(LabelParameters, request.query_string)
    behind = ""
    if asked.cursor is not None:
        [behind] = services.cursors.read(principal.user_id, SCOPE, asked.cursor)
    found = await read_labels(services.pool, principal.user_id, behind)
    headers = dict(OWN)
    if len(found) > LABELS_ON_A_PAGE:
        found.pop()
        cursor = services.cursors.write(principal.user_id, SCOPE, [found[-1][0]])
        headers["Link"] = next_link(f"/api/{principal.path_id}/labels", [("cursor", cursor)])
    body = orjson.dumps([{"name": name, "tasks": tasks} for name, tasks in found])
    return conditional_json(request, body, headers)
