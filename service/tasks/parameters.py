"""What query strings are made of, and how they are read."""

import re
from datetime import UTC, datetime, time
from typing import Annotated, Any, LiteralString, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from service.problems import Invalid
from service.rest.bodies import fault, invalid
from service.tasks.model import PRIORITIES
from service.tasks.schemas import Label, Priority
from service.tasks.times import parse_day, parse_moment

LIMIT_MAX = 500
LIMIT_DEFAULT = 100
CURSOR_MAX = 4096
DIGITS_MAX = 9
FILTER_LABELS_MAX = 5
REPEATABLE = frozenset({"label", "priority"})

_SPACE_FOR_PLUS = re.compile(r" (?=\d\d:\d\d$)")
"""A plus sign that a client forgot to encode arrives as a space; before an offset it can only be that plus sign."""


def _time(value: object) -> object:
    return _moment(value, "This is not an RFC 3339 timestamp with an offset")


def _moment(value: object, otherwise: LiteralString) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_moment(_SPACE_FOR_PLUS.sub("+", value))
    except ValueError:
        raise PydanticCustomError("timestamp", otherwise) from None


def _first(value: object) -> object:
    """A day begins when it does so in UTC."""
    return _or_day(value, time.min)


def _last(value: object) -> object:
    """A day ends when it does so in UTC."""
    return _or_day(value, time.max)


def _or_day(value: object, of_day: time) -> object:
    try:
        return datetime.combine(parse_day(str(value)), of_day, UTC)
    except ValueError:
        return _moment(value, "This is neither a day as YYYY-MM-DD nor an RFC 3339 timestamp with an offset")


def _priorities(value: object) -> object:
    """Between commas as the description has it, or one after the other: what most generated clients do all the same."""
    given = (value,) if isinstance(value, str) else value
    return [part for text in given for part in text.split(",")] if isinstance(given, tuple) else given


def _boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _number(value: object) -> object:
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= DIGITS_MAX
        else value
    )


Limit = Annotated[int, Field(strict=True, ge=1, le=LIMIT_MAX), BeforeValidator(_number)]
Boolean = Annotated[bool, Field(strict=True), BeforeValidator(_boolean)]
Cursor = Annotated[str, Field(max_length=CURSOR_MAX, json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"})]
Time = Annotated[datetime, BeforeValidator(_time), Field(json_schema_extra={"format": "date-time"})]
_DAY_OR_MOMENT = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
)
DueFrom = Annotated[datetime, BeforeValidator(_first), _DAY_OR_MOMENT]
DueTo = Annotated[datetime, BeforeValidator(_last), _DAY_OR_MOMENT]
_SOME = {"minItems": 1}
"""Said, and not checked: a parameter that is there has a value, and pydantic counts only those that are right."""

Priorities = Annotated[
    tuple[Priority, ...], Field(max_length=len(PRIORITIES), json_schema_extra=_SOME), BeforeValidator(_priorities)
]
FilterLabels = Annotated[tuple[Label, ...], Field(max_length=FILTER_LABELS_MAX, json_schema_extra=_SOME)]

P = TypeVar("P", bound=BaseModel)


def parse_query(schema: type[P], query_string: str) -> P:
    """Raises Invalid."""
    try:
        pairs = parse_qsl(query_string, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise Invalid.field("", "The query string is not valid UTF-8, or has too many parameters", "query") from None
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name in REPEATABLE:
            parameters[name] = (*parameters.get(name, ()), value)
        elif name in parameters:
            raise Invalid([fault(name, "The parameter is given twice", "duplicate_parameter")])
        else:
            parameters[name] = value
    try:
        return schema.model_validate(parameters)
    except ValidationError as error:
        raise invalid(error) from error
