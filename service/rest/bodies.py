"""Request bodies: JSON into a schema, and every fault of it a clear answer."""

import json
import re
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import ClassVar, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError, from_json

from service.http.requests import Request
from service.http.responses import JSON, MERGE_PATCH_JSON
from service.problems import BadRequest, FieldError, Invalid, NotJson, UnsupportedMediaType

BODY_BYTES_MAX = 160 * 1024
"""Of a request whose route says nothing else. JSON may spell any character in up to 12 bytes, as the two escapes of a
surrogate pair: this fits the largest task that its fields allow, and tests/unit/test_body_limits.py reckons it."""

MISTAKES_MAX = 1000
"""So many are named one by one; with three in each operation, a batch has 300. A body has room for a hundred thousand,
which would take a second, and an answer of ten times its size."""

TOKENS_MAX = 10_000
"""Strings, commas and opening brackets of a body. The largest that any schema takes is a batch, with 7,100; a megabyte
has room for half a million, and to take those apart would keep all other requests waiting for a quarter of a second."""

ACCEPT_JSON = (JSON,)
ACCEPT_MERGE_PATCH = (MERGE_PATCH_JSON, JSON)

# A string that nobody closes goes on to the end: looked at again from each quotation mark in it, it would take minutes.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{,]', re.DOTALL)

_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
}

_MESSAGES = {
    "too_short": "Give at least {min_length}",
    "too_long": "Give at most {max_length}",
}
"""In place of those of pydantic that speak of Python."""


class Body(BaseModel):
    """Strict: no field that is not named, no value turned into another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tags: ClassVar[frozenset[str]] = frozenset()
    """The values that pick a kind out of several: they stand in pydantic's locations, yet not in the body."""


B = TypeVar("B", bound=Body)


STORABLE = {"pattern": "^[^\\u0000]*$"}
"""For the JSON schema of what `storable` checks."""


def storable(text: str) -> str:
    """PostgreSQL stores any text but U+0000."""
    if "\0" in text:
        raise PydanticCustomError("nul", "U+0000 cannot be stored")
    return text


def parse(schema: type[B], request: Request, accepted: tuple[str, ...] = ACCEPT_JSON) -> B:
    """The body as `schema`. Raises BadRequest, UnsupportedMediaType, NotJson or Invalid."""
    if request.method == "PUT" and "content-range" in request.headers:
        raise BadRequest("A part of a representation cannot be put here")
    media_type = request.headers.getone("content-type", "").partition(";")[0].strip().lower()
    if media_type not in accepted:
        name = "Accept-Patch" if request.method == "PATCH" else "Accept"
        raise UnsupportedMediaType(f"Send {' or '.join(accepted)}", headers={name: ", ".join(accepted)})
    if request.headers.getone("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding", headers={"Accept-Encoding": "identity"})
    if _has_too_many_tokens(request.body):
        raise _too_many_values(request.body)
    try:
        return schema.model_validate_json(request.body)
    except ValidationError as error:
        raise invalid(error, request.body, schema.tags) from error


def _has_too_many_tokens(body: bytes) -> bool:
    """Counted one by one only where there may be so many: a text may hold any number of these characters."""
    if body.count(b'"') / 2 + body.count(b",") + body.count(b"[") + body.count(b"{") <= TOKENS_MAX:
        return False
    return next(islice(_TOKEN.finditer(body), TOKENS_MAX, None), None) is not None


def _too_many_values(body: bytes) -> Invalid | NotJson:
    """Looks at the beginning alone, which is cheap: what is no JSON only behind it, is told of its values."""
    try:
        from_json(body[:TOKENS_MAX].decode(errors="ignore"), allow_partial="trailing-strings")
    except ValueError:
        return NotJson()
    return Invalid.field("", "There are far too many names and values", "too_many_values")


def invalid(error: ValidationError, body: bytes | None = None, tags: frozenset[str] = frozenset()) -> Invalid | NotJson:
    """What is wrong with a body, or with the query's parameters (`body` is None)."""
    if error.error_count() > MISTAKES_MAX:
        return Invalid.field("", f"There are more than {MISTAKES_MAX} mistakes", "too_many_mistakes")
    broken = None if body is None else _broken(body)
    if broken is not None:
        return broken
    faults = error.errors(include_url=False, include_input=False)
    if faults[0]["type"] == "json_invalid":  # JSON all the same, but further than pydantic goes
        too_long = "number out of range" in faults[0]["ctx"]["error"]
        return Invalid.field("", "A number has too many digits", "number_too_long") if too_long else NotJson()
    where = _parameter if body is None else partial(_pointer, tags)
    return Invalid([fault(where(tuple(f["loc"])), _message(f), f["type"]) for f in faults])


def _message(found: ErrorDetails) -> str:
    template = _MESSAGES.get(found["type"])
    return template.format_map(found["ctx"]) if template else found["msg"]


def _parameter(location: tuple[int | str, ...]) -> str:
    return str(location[0]) if location else ""


def _pointer(tags: frozenset[str], location: tuple[int | str, ...]) -> str:
    parts = [p for n, p in enumerate(location) if not (p in tags and n and isinstance(location[n - 1], int))]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def fault(pointer: str, message: str, code: str) -> FieldError:
    """With a pointer that an answer can hold, however long a name the client has made up."""
    pointer = pointer.encode("utf-8", "replace").decode()[:200]
    return {"pointer": pointer, "message": message, "code": _CODES.get(code, code)}


def _broken(body: bytes) -> Invalid | NotJson | None:
    """The parser reads NaN, which is no JSON, and refuses half of a surrogate pair, which JSON's grammar allows."""
    with suppress(orjson.JSONDecodeError):
        orjson.loads(body)  # a quarter of the time, and it takes neither of the two
        return None
    try:
        text = body.decode()
        document = json.loads(text, parse_constant=_refuse, parse_int=str)
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Invalid.field("", "A string holds half of a surrogate pair", "lone_surrogate")
    except (ValueError, RecursionError):
        return NotJson()
    return None


def _refuse(constant: str) -> float:
    raise ValueError(constant)
