"""What the OpenAPI document says of the task routes."""

from typing import Any

from pydantic import BaseModel

from service import problems
from service.description.openapi import Answer, Json, Operation
from service.http.event_stream import EVENT_STREAM
from service.rest.bodies import ACCEPT_MERGE_PATCH
from service.tasks.batch import Batch
from service.tasks.fields import DELETED_AT, FIELDS, object_schema
from service.tasks.label_routes import LabelParameters
from service.tasks.paging import ListParameters
from service.tasks.parameters import LIMIT_MAX
from service.tasks.schemas import NewTask, TaskPatch, TaskReplacement
from service.tasks.sync_routes import ChangeParameters
from service.tasks.trash_routes import TrashParameters

MODELS = (NewTask, TaskReplacement, TaskPatch, Batch)

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
    "BatchResults": {
        "type": "object",
        "required": ["results"],
        "additionalProperties": False,
        "properties": {"results": {"type": "array", "items": _RESULT, "description": "In the operations' order"}},
    },
    "TaskChange": _TASK_CHANGE,
    "TaskDeletion": _DELETION,
    "Changes": {
        "type": "object",
        "required": ["changes", "next", "more"],
        "additionalProperties": False,
        "properties": {
            "changes": {
                "type": "array",
                "items": {
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
            },
            "next": {"type": "string", "description": "The token to ask with next"},
            "more": {"type": "boolean", "description": "Whether there are more changes already"},
        },
    },
}
_EXAMPLE = SCHEMAS["Task"]["example"]

_LAST_EVENT_ID: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "For a stream: the id of the last event that the client has seen; goes before `since`",
    "schema": {"type": "string", "maxLength": 200, "pattern": "^[A-Za-z0-9_-]*$"},
}
_EVENTS: Json = {
    "type": "string",
    "description": "Server-Sent Events. `event` is `task` or `deleted`; `data` is a TaskChange or TaskDeletion in one "
    "line; `id` is a token. An event without data only tells a token.",
    "contentMediaType": EVENT_STREAM,
}

_TASKS = "/api/{user_id}/tasks"
_TASK = "/api/{user_id}/tasks/{task_id}"
_TRASH = "/api/{user_id}/trash"
_TRASHED = "/api/{user_id}/trash/{task_id}"
_READ = ("ETag", "Cache-Control", "Vary")
_CHANGED = ("ETag", "Content-Location")
_WRITE_ONCE = (*_CHANGED, "Idempotency-Replayed")
_CONDITIONS = ("If-Match", "If-None-Match")
_KEY_PROBLEMS = (problems.IdempotencyInProgress, problems.IdempotencyKeyReused)
_OWN = (problems.Forbidden, problems.Invalid, problems.PreconditionFailed)
_ONE = (*_OWN, problems.TaskNotFound)


def _link(operation: str, description: str) -> Json:
    parameters = {"user_id": "$request.path.user_id", "task_id": "$response.body#/id"}
    return {"operationId": operation, "parameters": parameters, "description": description}


_LINKS = {
    "read": _link("get_task", "Read it again"),
    "replace": _link("replace_task", "Replace its title and description"),
    "patch": _link("patch_task", "Change some of its fields"),
    "toggle": _link("toggle_task", "Toggle whether it is completed"),
    "delete": _link("delete_task", "Delete it"),
}


def _parameters(model: type[BaseModel]) -> list[Json]:
    """A query string's parameters, from the model that parses them."""
    schema = model.model_json_schema()
    return [
        {"name": name, "in": "query", "description": _QUERY[name], "schema": _plain(found), **_STYLES.get(name, {})}
        for name, found in schema["properties"].items()
    ]


def _plain(schema: Json) -> Json:
    """Without the null that stands for "not given": a query string has no null."""
    if "anyOf" in schema:
        kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {key: value for key, value in schema.items() if key != "title"}


_STYLES: dict[str, Json] = {"priority": {"style": "form", "explode": False}}
_QUERY = {
    "since": "A token from `next`; opaque, and only for the same user",
    "limit": "How many on a page, at the most: it also ends at 1 MiB",
    "cursor": "Where the page starts; opaque, from the `Link` header, and only for the same user, sort and filters",
    "sort": "Order; `-` means descending. Ties are ordered by id, in the same direction. In both directions of `due`, "
    "tasks without a day or a moment come last; a day counts as its end in UTC",
    "completed": "Only tasks that are, or are not, completed",
    "q": "Only tasks whose title or description contains this, in any case",
    "created_from": "Only tasks created then or later",
    "created_to": "Only tasks created then or earlier",
    "updated_from": "Only tasks changed then or later",
    "updated_to": "Only tasks changed then or earlier",
    "due_from": "Only tasks due on this day, or at this moment, or later; days are those of UTC",
    "due_to": "Only tasks due on this day, or at this moment, or earlier; days are those of UTC",
    "priority": "Only tasks of this priority, or of one of several with commas between",
    "label": "Only tasks that carry this label; given up to five times, all of them",
}


def _operation(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
    return Operation(method, path, name, summary, "tasks", **more)


def _task(status: int, description: str, headers: tuple[str, ...]) -> Answer:
    return Answer(status, description, "Task", headers, _LINKS)


OPERATIONS = (
    _operation(
        "post",
        _TASKS,
        "create_task",
        "Create a task",
        body=NewTask,
        body_example={"title": "buy milk", "description": "two litres"},
        parameters=(*_CONDITIONS, "Idempotency-Key"),
        answers=(_task(201, "The new task", ("Location", "ETag", "Idempotency-Replayed")),),
        problems=(*_OWN, problems.TooManyTasks, *_KEY_PROBLEMS),
    ),
    _operation(
        "get",
        _TASKS,
        "list_tasks",
        "List tasks",
        description="Newest first unless `sort` says otherwise. Follow `Link` to the next page. With `If-None-Match`, "
        "an unchanged list costs next to nothing.",
        parameters=(*_parameters(ListParameters), "Prefer", *_CONDITIONS),
        answers=(
            Answer(
                200,
                "A page of tasks",
                {"type": "array", "items": {"$ref": "#/components/schemas/Task"}, "maxItems": LIMIT_MAX},
                (*_READ, "Link", "X-Total-Count", "Preference-Applied"),
                example=[_EXAMPLE],
            ),
            Answer(304, "The page has not changed", headers=_READ),
        ),
        problems=_OWN,
    ),
    _operation(
        "get",
        _TASK,
        "get_task",
        "Read a task",
        parameters=_CONDITIONS,
        answers=(
            _task(200, "The task", _READ),
            Answer(304, "The task has not changed", headers=_READ),
        ),
        problems=_ONE,
    ),
    _operation(
        "put",
        _TASK,
        "replace_task",
        "Replace a task's title and what else is given",
        description="What is left out stays, null clears what can be null; `completed` stays.",
        body=TaskReplacement,
        body_example={"title": "buy bread"},
        parameters=_CONDITIONS,
        answers=(_task(200, "The task as it is now", _CHANGED),),
        problems=_ONE,
    ),
    _operation(
        "patch",
        _TASK,
        "patch_task",
        "Change some fields of a task",
        description="A merge patch, RFC 7396: what is left out stays.",
        body=TaskPatch,
        body_example={"completed": True},
        media_types=ACCEPT_MERGE_PATCH,
        parameters=(*_CONDITIONS, "Idempotency-Key"),
        answers=(_task(200, "The task as it is now", _WRITE_ONCE),),
        problems=(*_ONE, *_KEY_PROBLEMS),
    ),
    _operation(
        "patch",
        f"{_TASK}/complete",
        "toggle_task",
        "Toggle whether a task is completed",
        parameters=(*_CONDITIONS, "Idempotency-Key"),
        answers=(_task(200, "The task as it is now", _WRITE_ONCE),),
        problems=(*_ONE, *_KEY_PROBLEMS),
    ),
    _operation(
        "delete",
        _TASK,
        "delete_task",
        "Delete a task: it goes to the trash",
        parameters=_CONDITIONS,
        answers=(Answer(204, "The task is in the trash"),),
        problems=_ONE,
    ),
    _operation(
        "post",
        f"{_TASKS}/batch",
        "run_batch",
        "Change several tasks at once, all or nothing",
        description="The operations run in their order, in one transaction. The first that fails decides the answer: "
        "its status, and `errors[].pointer` names it. A body may have 1 MiB.",
        body=Batch,
        body_example={
            "operations": [
                {"op": "create", "task": {"title": "buy milk"}},
                {"op": "complete", "id": "01a2058f-ec0a-775f-aa4b-d40693b8fe2a"},
            ]
        },
        parameters=("Idempotency-Key",),
        answers=(Answer(200, "All operations have been done", "BatchResults", ("Idempotency-Replayed",)),),
        problems=(*_ONE, problems.TooManyTasks, *_KEY_PROBLEMS),
    ),
    _operation(
        "get",
        f"{_TASKS}/changes",
        "list_changes",
        "List what has changed since a token",
        description="Without `since`: all tasks, which is the first sync. Each task appears once, in its latest state, "
        "in the order of the changes. Asked for with `Accept: text/event-stream`, the answer is a stream, which begins "
        "behind `Last-Event-ID`, or `since`, or now, and goes on until the access token expires.",
        parameters=(*_parameters(ChangeParameters), _LAST_EVENT_ID),
        answers=(
            Answer(
                200,
                "Changes, and the token for the next time; or a stream of them",
                "Changes",
                ("Cache-Control", "Vary"),
                also={EVENT_STREAM: {"schema": _EVENTS}},
            ),
        ),
        problems=(*_OWN, problems.SyncTokenExpired, problems.TooManyStreams, problems.StreamsFull),
    ),
    _operation(
        "get",
        _TRASH,
        "list_trash",
        "List deleted tasks, last deleted first",
        parameters=(*_parameters(TrashParameters), *_CONDITIONS),
        answers=(
            Answer(
                200,
                "A page of deleted tasks",
                {"type": "array", "items": {"$ref": "#/components/schemas/DeletedTask"}, "maxItems": LIMIT_MAX},
                (*_READ, "Link"),
            ),
            Answer(304, "The page has not changed", headers=_READ),
        ),
        problems=_OWN,
    ),
    _operation(
        "post",
        f"{_TRASHED}/restore",
        "restore_task",
        "Restore a deleted task",
        parameters=(*_CONDITIONS, "Idempotency-Key"),
        answers=(_task(200, "The task, in the list again as it was", _WRITE_ONCE),),
        problems=(*_ONE, problems.TooManyTasks, *_KEY_PROBLEMS),
    ),
    _operation(
        "delete",
        _TRASHED,
        "erase_task",
        "Erase a deleted task",
        description="Its content is gone from the database; what remains is that a task of this id was deleted.",
        answers=(Answer(204, "The content is gone"),),
        problems=_ONE,
    ),
    _operation(
        "delete",
        _TRASH,
        "empty_trash",
        "Erase all deleted tasks",
        answers=(Answer(204, "The contents are gone"),),
        problems=(problems.Forbidden,),
    ),
    _operation(
        "get",
        "/api/{user_id}/labels",
        "list_labels",
        "List the labels in use",
        description="By name, with how many tasks carry each. Follow `Link` to the next page; one has 5,000.",
        parameters=(*_parameters(LabelParameters), "If-None-Match"),
        answers=(
            Answer(
                200,
                "A page of labels",
                {"type": "array", "items": {"$ref": "#/components/schemas/LabelUse"}, "maxItems": 5000},
                ("ETag", "Link", "Cache-Control"),
            ),
            Answer(304, "The page has not changed", headers=("ETag", "Cache-Control")),
        ),
        problems=_OWN,
    ),
)
