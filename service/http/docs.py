"""The API's description for machines."""

from sanic import Blueprint, HTTPResponse, Request

from service.http.openapi import document
from service.http.responses import READ, json_value

docs = Blueprint("docs")


@docs.route("/openapi.json", methods=READ)
async def openapi(_: Request) -> HTTPResponse:
    """This document"""
    return json_value(document())
