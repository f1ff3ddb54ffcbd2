"""What clients send to and get from the task routes."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from service.http.bodies import STORABLE, Body, storable
from service.http.conditional import task_tag
from service.problems import Invalid
from service.tasks.model import DESCRIPTION_MAX, TITLE_MAX

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_MAX),
    AfterValidator(storable),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}),
]
Description = Annotated[
    str, Field(max_length=DESCRIPTION_MAX, json_schema_extra={**STORABLE}), AfterValidator(storable)
]


def _no_defaults(schema: dict[str, Any]) -> None:
    """What stands in for a field that was left out is never written, so the schema does not show it."""
    for field in schema["properties"].values():
        field.pop("default", None)


class NewTask(Body):
    title: Title
    description: Description | None = None


class TaskReplacement(Body):
    """A description left out stays as it is; null clears it."""

    model_config = ConfigDict(json_schema_extra=_no_defaults)

    title: Title
    description: Description | None = None


class TaskPatch(Body):
    """RFC 7396 merge patch: what is left out stays. Title and completed cannot be null, so null there is an error."""

    model_config = ConfigDict(json_schema_extra=_no_defaults)

    title: Title = "left out"
    description: Description | None = None
    completed: bool = False


def parse_task_id(text: str) -> UUID:
    try:
        if len(text) == 36:  # noqa: PLR2004  UUID() also takes braces, urn: and no dashes
            return UUID(text)
    except ValueError:
        pass
    raise Invalid.field("task_id", "This is not a UUID", "uuid")


def moment(seconds: float) -> datetime:
    """The time in a row's `created_at` or `updated_at`, which are seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def tag_of(row: asyncpg.Record) -> str:
    """The task's `ETag`."""
    return task_tag(moment(row["updated_at"]))


def render_task(row: asyncpg.Record, user_id: str) -> bytes:
    return orjson.dumps(_document(row, user_id), option=orjson.OPT_UTC_Z)


def render_tasks(rows: list[asyncpg.Record], user_id: str) -> bytes:
    return orjson.dumps([_document(row, user_id) for row in rows], option=orjson.OPT_UTC_Z)


def _document(row: asyncpg.Record, user_id: str) -> dict[str, object]:
    """The seven fields of a task, from a row in the order of `store.FIELDS`."""
    task_id, title, description, completed, created, updated = row
    created_at, updated_at = moment(created), moment(updated)
    return {
        "id": str(task_id),
        "user_id": user_id,
        "title": title,
        "description": description,
        "completed": completed,
        # orjson writes RFC 3339 five times as fast as isoformat(), but leaves out a fraction of zero.
        "created_at": created_at if created_at.microsecond else _rfc3339(created_at),
        "updated_at": updated_at if updated_at.microsecond else _rfc3339(updated_at),
    }


def _rfc3339(value: datetime) -> str:
    return value.isoformat(timespec="microseconds")[:-6] + "Z"
