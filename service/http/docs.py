"""The API's description: for machines at /openapi.json, for people at /docs."""

from functools import cache

import orjson
from sanic import Blueprint, HTTPResponse, Request

from service import problems
from service.accounts import openapi as accounts
from service.http import docs_page
from service.http.openapi import Answer, Json, Operation, build
from service.http.responses import READ, json_bytes
from service.tasks import openapi as tasks

docs = Blueprint("docs")

_OPERATIONS = (
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "Read this description of the API",
        "service",
        answers=(Answer(200, "An OpenAPI 3.1 document", {"type": "object"}),),
        token=False,
        database=False,
    ),
)


@cache
def document() -> Json:
    return build(
        (*accounts.OPERATIONS, *tasks.OPERATIONS, *_OPERATIONS),
        (*accounts.MODELS, *tasks.MODELS),
        {**accounts.SCHEMAS, **tasks.SCHEMAS},
    )


@cache
def _rendered() -> bytes:
    return orjson.dumps(document())


@docs.route("/openapi.json", methods=READ)
async def openapi(_: Request) -> HTTPResponse:
    """Read this description of the API"""
    return json_bytes(_rendered())


@docs.route("/docs", methods=READ)
async def page(request: Request) -> HTTPResponse:
    """Try the API in a browser"""
    return docs_page.page(request)


@docs.route("/docs/assets/<name:str>", methods=READ)
async def asset(request: Request, name: str) -> HTTPResponse:
    """Get a part of that page"""
    found = docs_page.asset(request, name)
    if found is None:
        raise problems.NotFound
    return found
