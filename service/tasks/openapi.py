"""What the OpenAPI document says of the task routes."""

from typing import Any

from service import problems
from service.description.openapi import Answer, Json, Operation
from service.http.event_stream import EVENT_STREAM
from service.rest.bodies import ACCEPT_MERGE_PATCH
from service.tasks.batch import Batch
from service.tasks.label_routes import LabelParameters
from service.tasks.openapi_parameters import LAST_EVENT_ID, query_parameters
from service.tasks.openapi_schemas import EVENTS, SCHEMAS
from service.tasks.paging import ListParameters
from service.tasks.parameters import LIMIT_MAX
from service.tasks.schemas import NewTask, TaskPatch, TaskReplacement
from service.tasks.sync_routes import ChangeParameters
from service.tasks.trash_routes import TrashParameters

MODELS = (NewTask, TaskReplacement, TaskPatch, Batch)

_TASK_EXAMPLE = SCHEMAS["Task"]["example"]

_TASKS = "/api/{user_id}/tasks"
_TASK = "/api/{user_id}/tasks/{task_id}"
_TRASH = "/api/{user_id}/trash"
_TRASHED = "/api/{user_id}/trash/{task_id}"
_READ = ("ETag", "Cache-Control", "Vary")
_CHANGED = ("ETag", "Content-Location")
_WRITE_ONCE = (*_CHANGED, "Idempotency-Replayed")
_CONDITIONS = ("If-Match", "If-None-Match")
_KEY_PROBLEMS = (problems.IdempotencyInProgress, problems.IdempotencyKeyReused, problems.AnswerErased)
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


def _operation(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
    return Operation(method, path, name, summary, "tasks", **more)


def _task(status: int, description: str, headers: tuple[str, ...]) -> Answer:
    return Answer(status, description, "Task", headers, _LINKS)


def _page(of: str, schema: str, headers: tuple[str, ...], *, most: int = LIMIT_MAX, **more: Any) -> Answer:
    items = {"$ref": f"#/components/schemas/{schema}"}
    return Answer(200, f"A page of {of}", {"type": "array", "items": items, "maxItems": most}, headers, **more)


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
        parameters=(*query_parameters(ListParameters), "Prefer", *_CONDITIONS),
        answers=(
            _page("tasks", "Task", (*_READ, "Link", "X-Total-Count", "Preference-Applied"), example=[_TASK_EXAMPLE]),
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
        "behind `Last-Event-ID`, or `since`, or now, and goes on until the access token expires. `limit` means nothing "
        "to a stream.",
        parameters=(*query_parameters(ChangeParameters), LAST_EVENT_ID),
        answers=(
            Answer(
                200,
                "Changes, and the token for the next time; or a stream of them",
                "ChangePage",
                ("Cache-Control", "Vary"),
                also={EVENT_STREAM: {"schema": EVENTS}},
            ),
        ),
        problems=(
            problems.Forbidden,
            problems.Invalid,
            problems.SyncTokenExpired,
            problems.TooManyStreams,
            problems.StreamsFull,
        ),
    ),
    _operation(
        "get",
        _TRASH,
        "list_trash",
        "List deleted tasks, last deleted first",
        parameters=(*query_parameters(TrashParameters), *_CONDITIONS),
        answers=(
            _page("deleted tasks", "DeletedTask", (*_READ, "Link")),
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
        parameters=_CONDITIONS,
        answers=(Answer(204, "The content is gone"),),
        problems=_ONE,
    ),
    _operation(
        "delete",
        _TRASH,
        "empty_trash",
        "Erase all deleted tasks",
        parameters=_CONDITIONS,
        answers=(Answer(204, "The contents are gone"),),
        problems=(problems.Forbidden, problems.PreconditionFailed),
    ),
    _operation(
        "get",
        "/api/{user_id}/labels",
        "list_labels",
        "List the labels in use",
        description="By name, with how many tasks carry each. Follow `Link` to the next page; one has 5,000.",
        parameters=(*query_parameters(LabelParameters), *_CONDITIONS),
        answers=(
            _page("labels", "LabelUse", (*_READ, "Link"), most=5000),
            Answer(304, "The page has not changed", headers=_READ),
        ),
        problems=_OWN,
    ),
)
