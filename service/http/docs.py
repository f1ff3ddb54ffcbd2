"""The API's description for machines."""

from sanic import Blueprint, HTTPResponse, Request

from service.http.openapi import document
from service.http.responses import READ, json_value

docs = Blueprint("docs")


@docs.route("/openapi.json", methods=READ)
async def openapi(_: Request) -> HTTPResponse:
    """Read this description of the API"""
    return json_value(document())
