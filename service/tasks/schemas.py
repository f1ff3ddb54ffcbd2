"""What clients send to and get from the task routes."""

from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import AfterValidator, Field, StringConstraints

from service.http.bodies import Body, storable
from service.problems import Invalid
from service.tasks.model import DESCRIPTION_MAX, TITLE_MAX

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_MAX),
    AfterValidator(storable),
]
Description = Annotated[str, Field(max_length=DESCRIPTION_MAX), AfterValidator(storable)]


def _no_default(schema: dict[str, Any]) -> None:
    """What stands in for a field that was left out is never written, so the schema does not show it."""
    schema.pop("default", None)


class NewTask(Body):
    title: Title
    description: Description | None = None


class TaskReplacement(Body):
    """A description left out stays as it is; null clears it."""

    title: Title
    description: Description | None = Field(None, json_schema_extra=_no_default)


class TaskPatch(Body):
    """RFC 7396 merge patch: what is left out stays. Title and completed cannot be null, so null there is an error."""

    title: Title = Field("left out", json_schema_extra=_no_default)
    description: Description | None = Field(None, json_schema_extra=_no_default)
    completed: bool = Field(default=False, json_schema_extra=_no_default)


def parse_task_id(text: str) -> UUID:
    try:
        if len(text) == 36:  # noqa: PLR2004  UUID() also takes braces, urn: and no dashes
            return UUID(text)
    except ValueError:
        pass
    raise Invalid.field("task_id", "This is not a UUID", "uuid")


def task_document(row: asyncpg.Record, user_id: str) -> dict[str, object]:
    """The seven fields of a task; times as RFC 3339 in UTC with all six decimals."""
    return {
        "id": str(row["id"]),
        "user_id": user_id,
        "title": row["title"],
        "description": row["description"],
        "completed": row["completed"],
        "created_at": row["created_at"].isoformat(timespec="microseconds")[:-6] + "Z",
        "updated_at": row["updated_at"].isoformat(timespec="microseconds")[:-6] + "Z",
    }


def render_task(row: asyncpg.Record, user_id: str) -> bytes:
    return orjson.dumps(task_document(row, user_id))


def render_tasks(rows: list[asyncpg.Record], user_id: str) -> bytes:
    return orjson.dumps([task_document(row, user_id) for row in rows])
