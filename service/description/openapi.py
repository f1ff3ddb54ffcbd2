"""The OpenAPI document: what each feature says of its operations, and what is true of all of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from service import __version__, problems
from service.http.responses import JSON, PROBLEM_JSON
from service.problems import Problem

Json = dict[str, Any]

PROBLEM_CODES = "x-problem-codes"
"""Of a response: what its `code` may be. In its schema they would be a type of its own for each status of each
operation to those who generate clients, and each new code a breaking change."""

# What can happen to any request at all, whatever it asks for.
_ANYWHERE: tuple[type[Problem], ...] = (
    problems.BadRequest,
    problems.RequestTimeout,
    problems.UriTooLong,
    problems.ExpectationFailed,
    problems.HeadersTooLarge,
    problems.Unexpected,
    problems.Overloaded,
)
_WITH_BODY: tuple[type[Problem], ...] = (problems.NotJson, problems.TooLarge, problems.UnsupportedMediaType)
_WITH_DATABASE: tuple[type[Problem], ...] = (
    problems.DatabaseUnavailable,
    problems.DatabaseSlow,
    problems.DatabaseBusy,
    problems.PoolExhausted,
    problems.SchemaBehind,
)
_WITH_WRITES: tuple[type[Problem], ...] = (problems.DatabaseReadOnly, problems.DatabaseFull)
_WITH_TOKEN: tuple[type[Problem], ...] = (
    problems.Unauthorized,
    problems.TooManyRequests,
    problems.IssuerUnavailable,
)


def header(description: str, schema: Json | None = None) -> Json:
    return {"description": description, "schema": schema or {"type": "string"}}


HEADERS: dict[str, Json] = {
    "ETag": header("Names this state; for `If-Match` and `If-None-Match`"),
    "Content-Location": header("Path of the task in the answer", {"type": "string", "format": "uri-reference"}),
    "Date": header("When the answer was made, as RFC 9110 has dates"),
    "Vary": header("The request's headers that the answer depends on"),
    "Accept": header("The media types that the body may have"),
    "Accept-Patch": header("The media types that the body may have"),
    "Accept-Encoding": header("`identity`: the content codings that the body may have"),
    "Location": header("Path of the new task", {"type": "string", "format": "uri-reference"}),
    "Link": header('`<path>; rel="next"`, when there is a next page'),
    "X-Total-Count": header("How many tasks match, with `Prefer: count=exact`", {"type": "integer", "minimum": 0}),
    "Preference-Applied": header("`count=exact` when that was asked for"),
    "Cache-Control": header("How long this may be kept, and by whom"),
    "Idempotency-Replayed": header("`true` when this is the stored answer to an earlier request with the same key"),
    "RateLimit": header('`"name";r=<remaining>;t=<seconds>`, as draft-ietf-httpapi-ratelimit-headers has it'),
    "RateLimit-Policy": header('`"name";q=<quota>;w=<window in seconds>`'),
    "Retry-After": header("Whole seconds to wait before trying again", {"type": "integer", "minimum": 1}),
    "WWW-Authenticate": header("The scheme to authenticate with"),
    "Allow": header("The methods that this path has"),
    "X-Request-Id": header("Names this request in the service's logs; the caller's own if it sent a sane one"),
}

PARAMETERS: dict[str, Json] = {
    "user_id": {
        "name": "user_id",
        "in": "path",
        "required": True,
        "description": "The id of the user whose token is sent",
        "schema": {"type": "string", "format": "uuid"},
    },
    "task_id": {
        "name": "task_id",
        "in": "path",
        "required": True,
        "description": "The task's id",
        "schema": {"type": "string", "format": "uuid"},
    },
}
for _name, _description in (
    ("If-Match", "Only if the state is one of these, or `*` for any; otherwise 412"),
    ("If-None-Match", "Only if the state is none of these; otherwise 304 to a read, and 412 to a change"),
    ("Prefer", "`count=exact` adds `X-Total-Count`"),
    ("Idempotency-Key", "1 to 255 visible ASCII characters; a repeat within 24 hours gets the first answer again"),
):
    PARAMETERS[_name] = {"name": _name, "in": "header", "description": _description, "schema": {"type": "string"}}
PARAMETERS["Idempotency-Key"]["schema"] = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer; `schema` names a component, None means that there is no body."""

    status: int
    description: str
    schema: str | Json | None = None
    headers: Sequence[str] = ()
    links: Mapping[str, Json] = field(default_factory=dict)
    example: object = None
    also: Mapping[str, Json] = field(default_factory=dict)
    """The same in other media types, for requests that ask for one."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `problems` are those beyond what can happen everywhere."""

    method: str
    path: str
    id: str
    summary: str
    tag: str
    answers: Sequence[Answer]
    description: str = ""
    body: type[BaseModel] | None = None
    body_example: object = None
    media_types: Sequence[str] = (JSON,)
    parameters: Sequence[str | Json] = ()
    problems: Sequence[type[Problem]] = ()
    token: bool = True
    database: bool = True

    def document(self) -> Json:
        found: Json = {"operationId": self.id, "summary": self.summary, "tags": [self.tag]}
        if self.description:
            found["description"] = self.description
        if parameters := [*self._path_parameters(), *self.parameters]:
            found["parameters"] = [_ref("parameters", p) if isinstance(p, str) else p for p in parameters]
        if self.body is not None:
            content = {"schema": _ref("schemas", self.body.__name__), "example": self.body_example}
            found["requestBody"] = {"required": True, "content": dict.fromkeys(self.media_types, content)}
        found["responses"] = {**{str(a.status): _answer(a) for a in self.answers}, **_problems(self._all_problems())}
        found["security"] = [{"bearer": []}] if self.token else []
        return found

    def _path_parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def _all_problems(self) -> list[type[Problem]]:
        found = [*_ANYWHERE, *self.problems]
        found += _WITH_TOKEN if self.token else ()
        found += _WITH_BODY if self.body is not None else ()
        found += _WITH_DATABASE if self.database else ()
        found += _WITH_WRITES if self.database and self.method != "get" else ()
        return found


def build(operations: Sequence[Operation], models: Sequence[type[BaseModel]], schemas: Json) -> Json:
    """The document. `models` become components, `schemas` are components written by hand."""
    _, generated = models_json_schema(
        [(m, "validation") for m in models],
        schema_generator=_WithoutDefaults,
        ref_template="#/components/schemas/{model}",
    )
    paths: Json = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.document()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tasks API",
            "version": __version__,
            "summary": "Everybody's own tasks",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The service that serves this document"}],
        "tags": [
            {"name": "accounts", "description": "Signing up, sessions, one's own account"},
            {"name": "tasks", "description": "The tasks of the user whose token is sent"},
            {"name": "service", "description": "What the service says of itself"},
        ],
        "paths": paths,
        "components": {
            "schemas": {**generated["$defs"], **schemas, "Problem": _PROBLEM, "ProblemError": _PROBLEM_ERROR},
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


class _WithoutDefaults(GenerateJsonSchema):
    """A default makes generators take a field for one that is always there, and ask for it in requests too."""

    def default_schema(self, schema: Any) -> Json:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic gives it
        """Titles say no more than the names that they are made from, and take their place in some generators."""
        return False


def _answer(answer: Answer) -> Json:
    found: Json = {
        "description": answer.description,
        "headers": {name: _ref("headers", name) for name in (*answer.headers, *_EVERYWHERE)},
    }
    if answer.schema is not None:
        schema = _ref("schemas", answer.schema) if isinstance(answer.schema, str) else answer.schema
        found["content"] = {JSON: {"schema": schema, **({"example": answer.example} if answer.example else {})}}
        found["content"] |= answer.also
    if answer.links:
        found["links"] = dict(answer.links)
    return found


def _problems(kinds: Sequence[type[Problem]]) -> Json:
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        if kind not in by_status.setdefault(kind.status, []):
            by_status[kind.status].append(kind)
    return {str(status): _problem(status, by_status[status]) for status in sorted(by_status)}


def _problem(status: int, kinds: Sequence[type[Problem]]) -> Json:
    codes = " · ".join(f"`{kind.code}`: {kind.title}" for kind in kinds)
    names = [*_EVERYWHERE, "Cache-Control", *_PROBLEM_HEADERS.get(status, ())]
    names += _LIMITED_HEADERS if problems.BadCredentials in kinds else ()
    return {
        "description": codes,
        "headers": {name: _ref("headers", name) for name in names},
        "content": {PROBLEM_JSON: {"schema": _ref("schemas", "Problem"), "example": _example(kinds[0])}},
        PROBLEM_CODES: sorted({kind.code for kind in kinds}),
    }


_LIMITED_HEADERS = ("RateLimit", "RateLimit-Policy")
_EVERYWHERE = ("X-Request-Id", "Date")
_PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    412: ("ETag",),
    415: ("Accept", "Accept-Patch", "Accept-Encoding"),
    429: ("Retry-After", *_LIMITED_HEADERS),
    503: ("Retry-After",),
}


def _example(kind: type[Problem]) -> Json:
    example: Json = {
        "type": f"urn:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title,
        "code": kind.code,
        "request_id": "0b00c7813091037a8320da85119a2ed5",
    }
    if kind is problems.Invalid:
        example["errors"] = [{"pointer": "/title", "message": "Field required", "code": "missing"}]
    return example


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


_PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457. `code` is stable: branch on it, and on the status where you do not know it, since codes "
    "are added. Show `title` or `detail` to people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "With `validation_error`, and where an operation of a batch failed: what, and where",
            "items": _ref("schemas", "ProblemError"),
        },
    },
    "additionalProperties": False,
}

_PROBLEM_ERROR: Json = {
    "type": "object",
    "required": ["pointer", "message", "code"],
    "additionalProperties": False,
    "properties": {
        "pointer": {"type": "string", "description": "RFC 6901 into the body, or a parameter's name"},
        "message": {"type": "string"},
        "code": {"type": "string"},
    },
}

_DESCRIPTION = """\
Sign up, keep the tokens, and work with your tasks under `/api/{user_id}/tasks`.

* Every answer carries `X-Request-Id`; every error is `application/problem+json` with a stable `code`.
* Every path also answers `OPTIONS`, and `HEAD` wherever it answers `GET`; other methods are a 405 with `Allow`.
* Poll with `If-None-Match`, write with `If-Match`, and retry writes with an `Idempotency-Key`.
"""
