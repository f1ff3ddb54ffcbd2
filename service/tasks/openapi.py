"""What the OpenAPI document says of the task routes."""

from typing import Any

from service import problems
from service.description.openapi import Answer, Json, Operation
from service.rest.bodies import ACCEPT_MERGE_PATCH
from service.tasks.model import DESCRIPTION_MAX, TITLE_MAX
from service.tasks.paging import LIMIT_MAX, ListParameters
from service.tasks.schemas import NewTask, TaskPatch, TaskReplacement

MODELS = (NewTask, TaskReplacement, TaskPatch)

_TIME = {"type": "string", "format": "date-time", "description": "RFC 3339 in UTC, with microseconds and Z"}
_ID = {"type": "string", "format": "uuid"}
_EXAMPLE = {
    "id": "01a2058f-ec0a-775f-aa4b-d40693b8fe2a",
    "user_id": "01a2058f-e8f5-76b7-8b6a-25e4f0baad3b",
    "title": "buy milk",
    "description": "two litres",
    "completed": False,
    "created_at": "2026-11-22T23:20:47.882517Z",
    "updated_at": "2026-11-22T23:20:47.882517Z",
}
SCHEMAS: Json = {
    "Task": {
        "type": "object",
        "required": list(_EXAMPLE),
        "additionalProperties": False,
        "properties": {
            "id": _ID,
            "user_id": _ID,
            "title": {"type": "string", "minLength": 1, "maxLength": TITLE_MAX},
            "description": {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX},
            "completed": {"type": "boolean"},
            "created_at": _TIME,
            "updated_at": {**_TIME, "description": "Rises with every change of the task"},
        },
        "example": _EXAMPLE,
    }
}

_TASKS = "/api/{user_id}/tasks"
_TASK = "/api/{user_id}/tasks/{task_id}"
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


def _query_parameters() -> list[Json]:
    """The list's parameters, from the model that parses them."""
    schema = ListParameters.model_json_schema()
    return [
        {"name": name, "in": "query", "description": _QUERY[name], "schema": _plain(found)}
        for name, found in schema["properties"].items()
    ]


def _plain(schema: Json) -> Json:
    """Without the null that stands for "not given": a query string has no null."""
    if "anyOf" in schema:
        schema = next(kind for kind in schema["anyOf"] if kind.get("type") != "null")
    return {key: value for key, value in schema.items() if key != "title"}


_QUERY = {
    "limit": "Tasks on a page, at the most: it also ends at 1 MiB, and `Link` goes on",
    "cursor": "Where the page starts; opaque, from the `Link` header, and only for the same user, sort and filters",
    "sort": "Order; `-` means descending. Ties are ordered by id, in the same direction",
    "completed": "Only tasks that are, or are not, completed",
    "q": "Only tasks whose title or description contains this, in any case",
    "created_from": "Only tasks created then or later",
    "created_to": "Only tasks created then or earlier",
    "updated_from": "Only tasks changed then or later",
    "updated_to": "Only tasks changed then or earlier",
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
        problems=(*_OWN, *_KEY_PROBLEMS),
    ),
    _operation(
        "get",
        _TASKS,
        "list_tasks",
        "List tasks",
        description="Newest first unless `sort` says otherwise. Follow `Link` to the next page.",
        parameters=(*_query_parameters(), "Prefer", *_CONDITIONS),
        answers=(
            Answer(
                200,
                "A page of tasks",
                {"type": "array", "items": {"$ref": "#/components/schemas/Task"}, "maxItems": LIMIT_MAX},
                (*_READ, "Link", "X-Total-Count", "Preference-Applied"),
                example=[_EXAMPLE],
            ),
            Answer(304, "The page has not changed", headers=(*_READ, "Link", "X-Total-Count", "Preference-Applied")),
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
        "Replace a task's title and description",
        description="A description left out stays, null clears it; `completed` stays.",
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
        "Delete a task",
        parameters=_CONDITIONS,
        answers=(Answer(204, "The task is gone"),),
        problems=_ONE,
    ),
)
