"""The limit of a body follows from the limits of its fields: the largest that they allow fits, however it is spelt."""

import json
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from sanic import HTTPResponse, Sanic
from sanic.config import Config

from service.accounts import openapi as accounts
from service.http.requests import Request
from service.rest.bodies import BODY_BYTES_MAX, Body
from service.tasks import openapi as tasks
from service.tasks.batch import Batch
from tests.support.server import free_port

CHARACTER_BYTES_MAX = len(r"\ud83d\ude00")
"""Any character of JSON text may be written as escapes, and one beyond U+FFFF takes two."""

MODELS = [model for model in (*accounts.MODELS, *tasks.MODELS) if issubclass(model, Body) and model is not Batch]
"""A batch has a limit of its own, which the contract fixes: few of the largest tasks fit, and all ordinary ones do."""


def largest(schema: dict[str, Any], named: dict[str, Any]) -> int:
    """Bytes of the largest value without white space between its parts; `named` are what references lead to."""
    schema = named.get(schema.get("$ref", "").rpartition("/")[2], schema)
    if "anyOf" in schema:
        return max(largest(kind, named) for kind in schema["anyOf"])
    match schema.get("type"):
        case "string" if "enum" in schema:
            return max(len(json.dumps(value)) for value in schema["enum"])
        case "string":
            return 2 + CHARACTER_BYTES_MAX * int(schema["maxLength"])  # each has one, or there is no largest
        case "array":
            return 2 + int(schema["maxItems"]) * (largest(schema["items"], named) + 1)
        case "boolean" | "null":
            return len("false")
        case "object":
            return 2 + sum(
                len(json.dumps(name)) + 2 + largest(part, named) for name, part in schema["properties"].items()
            )
        case other:
            raise AssertionError(f"how large is a {other}?")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_largest_body_fits(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    assert largest(schema, schema.get("$defs", {})) <= BODY_BYTES_MAX


def test_what_is_reckoned_is_what_a_client_sends() -> None:
    text = "\U0001f600" * 7
    schema = {"type": "object", "properties": {"title": {"type": "string", "maxLength": 7}}}
    assert (
        largest(schema, {}) == len(json.dumps({"title": text}, separators=(",", ":"))) + 1
    )  # the last comma has nothing behind it


async def test_a_route_may_have_a_limit_of_its_own() -> None:
    app = Sanic("limits", config=Config(env_prefix=""), request_class=Request, configure_logging=False)
    app.config.update(REQUEST_MAX_SIZE=20_000, ACCESS_LOG=False, AUTO_EXTEND=False, TOUCHUP=False)

    async def size(request: Request) -> HTTPResponse:
        return HTTPResponse(str(len(request.body)))

    app.add_route(size, "/small", methods=["POST"], name="small")
    app.add_route(size, "/large", methods=["POST"], name="large", ctx_body_bytes_max=40_000)
    port = free_port()
    server = await app.create_server("127.0.0.1", port, return_asyncio_server=True, access_log=False)
    assert server is not None
    await server.startup()
    await server.start_serving()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
            for path, limit in (("/small", 20_000), ("/large", 40_000)):
                assert (await client.post(path, content=b"x" * limit)).status_code == 200
                assert (await client.post(path, content=b"x" * (limit + 1))).status_code == 413
    finally:
        server.close()
        Sanic.unregister_app(app)
