"""The API's description: for machines at /openapi.json, for people at /docs."""

from dataclasses import dataclass

from sanic import Blueprint, HTTPResponse
from sanic.response import redirect

from service import problems
from service.description import page as docs_page
from service.description.openapi import Answer, Json, Operation
from service.http.requests import Request
from service.http.responses import READ
from service.rest.conditional import conditional_json

docs = Blueprint("docs")

SCHEMAS: Json = {"OpenApiDocument": {"type": "object"}}
OPERATIONS = (
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "Read this description of the API",
        "service",
        parameters=("If-Match", "If-None-Match"),
        answers=(
            Answer(200, "An OpenAPI 3.1 document", "OpenApiDocument", ("ETag", "Cache-Control")),
            Answer(304, "The description has not changed", headers=("ETag", "Cache-Control")),
        ),
        problems=(problems.PreconditionFailed,),
        token=False,
        database=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Description:
    """What these routes serve: the OpenAPI document, as JSON."""

    document: bytes


@docs.route("/", methods=READ)
async def root(_: Request) -> HTTPResponse:
    """Go to the page that describes the API"""
    return redirect("/docs")


@docs.route("/openapi.json", methods=READ)
async def openapi(request: Request) -> HTTPResponse:
    """Read this description of the API"""
    return conditional_json(request, request.services[Description].document, {"Cache-Control": "no-cache"})


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
