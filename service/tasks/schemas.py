"""What clients send to the task routes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from service.identifiers import parse_uuid
from service.problems import Invalid
from service.rest.bodies import STORABLE, Body, storable
from service.tasks.model import DESCRIPTION_MAX, LABEL_MAX, LABELS_MAX, PRIORITIES, TITLE_MAX
from service.tasks.times import Day, Moment

Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=TITLE_MAX),
    AfterValidator(storable),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}),
]
Description = Annotated[
    str, Field(max_length=DESCRIPTION_MAX, json_schema_extra={**STORABLE}), AfterValidator(storable)
]


# One type to those who generate clients, wherever it stands: an alias alone would be one for each place.
Priority = TypeAliasType("Priority", Literal["none", "low", "medium", "high", "urgent"])
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LABEL_MAX),
    AfterValidator(storable),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}),
]


def _different(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise PydanticCustomError("duplicate_label", "Two labels are the same")
    return labels


Labels = Annotated[
    list[Label], Field(max_length=LABELS_MAX, json_schema_extra={"uniqueItems": True}), AfterValidator(_different)
]


def _only_one_due(moment: datetime | None, info: ValidationInfo) -> datetime | None:
    if moment is not None and info.data.get("due_on") is not None:
        raise PydanticCustomError("both_due", "A task is due on a day or at a moment, not both")
    return moment


def _one_due(schema: dict[str, Any]) -> None:
    """What `_only_one_due` checks."""
    given = {name: {"type": "string"} for name in ("due_on", "due_at")}
    schema["not"] = {"required": list(given), "properties": given}


class Planned(Body):
    """The fields that plan a task. `due_on` and `due_at` exclude each other: setting one clears the other."""

    due_on: Day | None = None
    due_at: Annotated[Moment | None, AfterValidator(_only_one_due)] = None
    priority: Priority = "none"
    labels: Labels = Field(default_factory=list)

    def given(self) -> dict[str, object]:
        """The columns that the client sets, and their values."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "priority" in values:
            values["priority"] = PRIORITIES.index(values["priority"])
        for name, other in (("due_on", "due_at"), ("due_at", "due_on")):
            if values.get(name) is not None:
                values |= {name: values[name].isoformat(), other: None}
        return values


class NewTask(Planned):
    """What is left out is null, `none` as a priority, or no labels."""

    model_config = ConfigDict(json_schema_extra=_one_due)

    title: Title
    description: Description | None = None


class TaskReplacement(Planned):
    """What is left out stays as it is; null clears what can be null."""

    model_config = ConfigDict(json_schema_extra=_one_due)

    title: Title
    description: Description | None = None


class TaskPatch(Planned):
    """RFC 7396 merge patch: what is left out stays, null clears what can be null and is an error elsewhere."""

    model_config = ConfigDict(json_schema_extra=_one_due)

    title: Title = "left out"
    description: Description | None = None
    completed: bool = False


def parse_task_id(text: str) -> UUID:
    """Raises Invalid."""
    try:
        return parse_uuid(text)
    except ValueError:
        raise Invalid.field("task_id", "This is not a UUID", "uuid") from None


def _task_id(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return parse_uuid(text)
    except ValueError:
        raise PydanticCustomError("uuid", "This is not a UUID") from None


TaskId = Annotated[UUID, BeforeValidator(_task_id), Field(json_schema_extra={"format": "uuid"})]
