"""The fields of a task: each is said here once, and the documents, statements and schemas of tasks follow from it.

The columns' types and limits are the model's (`model.Task`); what a model cannot say stands here: how a field is
written in JSON, how the API describes it, and whether clients set it.
"""

from dataclasses import dataclass
from typing import Any

from service.tasks.model import DESCRIPTION_MAX, LABEL_MAX, LABELS_MAX, PRIORITIES, TITLE_MAX

Json = dict[str, Any]

_ID: Json = {"type": "string", "format": "uuid"}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_RFC3339 = "RFC 3339 in UTC, with microseconds and Z"


@dataclass(frozen=True, slots=True)
class Field:
    """One field, and the column of the same name.

    `json` is an SQL expression that writes the field, `{}` being the column, and never NULL; `quoted` puts it between
    quotation marks. `set_as` is the SQL type of the value that clients give, None for fields that they only read; times
    go as text, since the driver takes the first and the last of them for infinite ones. `default` is what a new task
    has when clients give none.
    """

    name: str
    json: str
    schema: Json
    example: object
    set_as: str | None = None
    quoted: bool = False
    default: str = "NULL"


def moment(column: str) -> str:
    """SQL: a time as the API writes it."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


_TEXT = "to_json({})"
_TEXT_OR_NULL = "coalesce(to_json({})::text, 'null')"
_BOOLEAN = "{}::text"
_TIME = moment("{}")
_TIME_OR_NULL = f"""coalesce('"' || {moment("{}")} || '"', 'null')"""
_DAY_OR_NULL = """coalesce('"' || to_char({}, 'YYYY-MM-DD') || '"', 'null')"""
_PRIORITY = f"(ARRAY[{', '.join(repr(name) for name in PRIORITIES)}])[{{}} + 1]"

FIELDS = (
    Field("id", "{}", _ID, "01a2058f-ec0a-775f-aa4b-d40693b8fe2a", quoted=True),
    Field("user_id", "{}", _ID, "01a2058f-e8f5-76b7-8b6a-25e4f0baad3b", quoted=True),
    Field("title", _TEXT, {"type": "string", "minLength": 1, "maxLength": TITLE_MAX}, "buy milk", "text"),
    Field(
        "description",
        _TEXT_OR_NULL,
        {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX},
        "two litres",
        "text",
    ),
    Field("completed", _BOOLEAN, {"type": "boolean"}, example=False, set_as="boolean"),
    Field("created_at", _TIME, {**_MOMENT, "description": _RFC3339}, "2026-11-22T23:20:47.882517Z", quoted=True),
    Field(
        "updated_at",
        _TIME,
        {**_MOMENT, "description": "Rises with every change, and is unique among the user's tasks"},
        "2026-11-22T23:20:47.882517Z",
        quoted=True,
    ),
    Field(
        "completed_at",
        _TIME_OR_NULL,
        {"type": ["string", "null"], "format": "date-time", "description": "When `completed` last became true"},
        None,
    ),
    Field(
        "due_on",
        _DAY_OR_NULL,
        {"type": ["string", "null"], "format": "date", "description": "A day in the calendar of whoever reads it"},
        "2026-11-30",
        "text::date",
    ),
    Field(
        "due_at",
        _TIME_OR_NULL,
        {"type": ["string", "null"], "format": "date-time", "description": f"A moment: {_RFC3339}"},
        None,
        "text::timestamptz",
    ),
    Field(
        "priority",
        _PRIORITY,
        {"$ref": "#/components/schemas/Priority"},
        "high",
        "smallint",
        quoted=True,
        default="0",
    ),
    Field(
        "labels",
        "to_json({})",
        {
            "type": "array",
            "maxItems": LABELS_MAX,
            "uniqueItems": True,
            "items": {"type": "string", "minLength": 1, "maxLength": LABEL_MAX},
        },
        ["shopping"],
        "text[]",
        default="'{}'",
    ),
)
DELETED_AT = Field(
    "deleted_at",
    _TIME,
    {**_MOMENT, "description": "When the task was deleted"},
    "2026-11-23T08:12:30.104882Z",
    quoted=True,
)

COLUMNS = tuple(field.name for field in FIELDS)
CONTENT = tuple(name for name in COLUMNS if name not in {"id", "user_id"})
"""What is forgotten when a task in the trash is erased."""

# A day counts as its end in UTC. An index has this very expression.
DUE = "coalesce(due_at, ((due_on + 1)::timestamp - interval '1 microsecond') AT TIME ZONE 'UTC')"

SETTABLE = tuple(field for field in FIELDS if field.set_as is not None)


def document(fields: tuple[Field, ...] = FIELDS) -> str:
    """SQL: a row as clients get it, in UTF-8.

    It is made where the row is: the service would need 2.3 us for it, PostgreSQL needs 2, and no time of this loop's.
    """
    written, pending = [], "{"  # what stands between two expressions is one literal: concat() takes fewer arguments
    for field in fields:
        quote = '"' if field.quoted else ""
        written += [f"'{pending}\"{field.name}\":{quote}'", field.json.format(field.name)]
        pending = f"{quote},"
    return f"convert_to(concat({', '.join(written)}, '{pending[:-1]}}}'), 'UTF8')"


def object_schema(fields: tuple[Field, ...] = FIELDS) -> Json:
    """What OpenAPI says of such a document."""
    example = {field.name: field.example for field in fields}
    return {
        "type": "object",
        "required": [field.name for field in fields],
        "additionalProperties": False,
        "properties": {field.name: field.schema for field in fields},
        "example": example,
    }
