"""Days and moments as clients write them: RFC 3339, and no other spelling that a library would take as well."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HOUR_AND_MINUTE = r"([01]\d|2[0-3]):[0-5]\d"  # "24:00" and "+05:60" mean something to some versions of Python
_MOMENT = re.compile(
    rf"\d{{4}}-\d\d-\d\d[Tt ]{_HOUR_AND_MINUTE}:\d\d(\.\d{{1,9}})?([Zz]|[+-]{_HOUR_AND_MINUTE})", re.ASCII
)


def _day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_day(value)
    except ValueError:
        raise PydanticCustomError("date", "This is not a day as YYYY-MM-DD") from None


def _moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_moment(value)
    except ValueError:
        raise PydanticCustomError("timestamp", "This is not an RFC 3339 timestamp with an offset") from None


def parse_day(text: str) -> date:
    """Raises ValueError."""
    if not _DAY.fullmatch(text):
        raise ValueError("not YYYY-MM-DD")
    return date.fromisoformat(text)


def parse_moment(text: str) -> datetime:
    """In UTC. Raises ValueError; beyond the years 1 to 9999 there is no such time."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("not RFC 3339")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


Day = Annotated[
    date, BeforeValidator(_day), Field(json_schema_extra={"format": "date", "maxLength": len("2026-12-24")})
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    Field(json_schema_extra={"format": "date-time", "maxLength": len("2026-12-24T18:00:00.123456789+05:30")}),
]
