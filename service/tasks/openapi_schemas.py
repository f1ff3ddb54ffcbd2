"""The bodies of the task routes' answers, as the OpenAPI document has them."""

from service.description.openapi import Json
from service.http.event_stream import EVENT_STREAM
from service.tasks.fields import DELETED_AT, FIELDS, object_schema

_RESULT: Json = {
    "type": "object",
    "required": ["status"],
    "additionalProperties": False,
    "properties": {
        "status": {"type": "integer", "enum": [200, 201, 204]},
        "etag": {"type": "string", "description": "Of the task, unless it was deleted"},
        "task": {"$ref": "#/components/schemas/Task"},
    },
}
_DELETION: Json = {
    "type": "object",
    "required": ["type", "id", "deleted_at"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "deleted"},
        "id": {"type": "string", "format": "uuid"},
        "deleted_at": {"type": "string", "format": "date-time"},
    },
}
_TASK_CHANGE: Json = {
    "type": "object",
    "required": ["type", "task"],
    "additionalProperties": False,
    "properties": {"type": {"const": "task"}, "task": {"$ref": "#/components/schemas/Task"}},
}
SCHEMAS: Json = {
    "LabelUse": {
        "type": "object",
        "required": ["name", "tasks"],
        "additionalProperties": False,
        "properties": {"name": {"type": "string"}, "tasks": {"type": "integer", "minimum": 1}},
    },
    "Task": object_schema(),
    "DeletedTask": object_schema((*FIELDS, DELETED_AT)),
    "BatchResult": _RESULT,
    "BatchResults": {
        "type": "object",
        "required": ["results"],
        "additionalProperties": False,
        "properties": {
            "results": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/BatchResult"},
                "description": "In the operations' order",
            }
        },
    },
    "Change": {
        "oneOf": [
            {"$ref": "#/components/schemas/TaskChange"},
            {"$ref": "#/components/schemas/TaskDeletion"},
        ],
        "discriminator": {
            "propertyName": "type",
            "mapping": {
                "task": "#/components/schemas/TaskChange",
                "deleted": "#/components/schemas/TaskDeletion",
            },
        },
    },
    "TaskChange": _TASK_CHANGE,
    "TaskDeletion": _DELETION,
    "ChangePage": {
        "type": "object",
        "required": ["changes", "next", "more"],
        "additionalProperties": False,
        "properties": {
            "changes": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Change"},
            },
            "next": {"type": "string", "description": "The token to ask with next"},
            "more": {"type": "boolean", "description": "Whether there are more changes already"},
        },
    },
}
EVENTS: Json = {
    "type": "string",
    "description": "Server-Sent Events. `event` is `task` or `deleted`; `data` is a Change in one "
    "line; `id` is a token. An event without data only tells a token.",
    "contentMediaType": EVENT_STREAM,
}
