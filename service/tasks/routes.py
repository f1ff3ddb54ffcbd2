"""The task routes: parse, call, render."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.database.pool import Executor, Pool
from service.http.requests import Request
from service.http.responses import OWN, READ, json_bytes, no_content, unchanged
from service.rest.bodies import ACCEPT_MERGE_PATCH, parse
from service.rest.conditional import body_tag, check, conditional_json, is_conditional, not_modified, preconditions
from service.rest.idempotency import idempotent
from service.tasks.pages import fitting
from service.tasks.paging import Cursors, parse_list_query
from service.tasks.schemas import NewTask, Task, TaskPatch, TaskReplacement, json_array, parse_task_id
from service.tasks.store import TaskStore

tasks = Blueprint("tasks", url_prefix="/api/<user_id:str>/tasks")
tasks.on_request(owner_of_path)


@dataclass(frozen=True, slots=True)
class TaskServices:
    """What the task routes work with."""

    pool: Pool
    cursors: Cursors


def _store(request: Request, executor: Executor | None = None) -> TaskStore:
    return TaskStore(executor or request.services[TaskServices].pool, principal_of(request).user_id)


async def _idempotent(request: Request, work: Callable[[Executor], Awaitable[HTTPResponse]]) -> HTTPResponse:
    return await idempotent(request, request.services[TaskServices].pool, principal_of(request).user_id, work)


@tasks.post("")
async def create_task(request: Request, user_id: str) -> HTTPResponse:
    """Create a task"""
    body = parse(NewTask, request)

    async def create(executor: Executor) -> HTTPResponse:
        if is_conditional(request.headers):
            check(request.headers, body_tag((await _page(request, executor))[0]))
        task = await _store(request, executor).create(body)
        return _answer(task, status=201, headers={"Location": _path(request, task)})

    return await _idempotent(request, create)


@tasks.route("", methods=READ)
async def list_tasks(request: Request, user_id: str) -> HTTPResponse:
    """List tasks"""
    return conditional_json(request, *await _page(request))


async def _page(request: Request, executor: Executor | None = None) -> tuple[bytes, dict[str, str]]:
    """The page that the request's query asks for, and its headers."""
    principal = principal_of(request)
    cursors = request.services[TaskServices].cursors
    query = cursors.resume(parse_list_query(request.query_string), principal.user_id)
    store = _store(request, executor)
    found = await store.page(query)
    page = fitting(found, query.limit)
    headers = dict(OWN)
    if len(page) < len(found):
        headers["Link"] = cursors.link(query, principal.user_id, f"/api/{principal.path_id}/tasks", page[-1])
    if _wants_count(request):
        headers["X-Total-Count"] = str(await store.count(query))
        headers["Preference-Applied"] = "count=exact"
    return json_array(page), headers


@tasks.route("/<task_id:str>", methods=READ)
async def get_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Read a task"""
    task = await _store(request).get(parse_task_id(task_id))
    if not_modified(request.headers, task.tag):
        return unchanged({"ETag": task.tag, **OWN})
    return _answer(task, headers=OWN)


@tasks.put("/<task_id:str>")
async def replace_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Replace a task's title and description"""
    task = await _store(request).replace(
        parse_task_id(task_id), parse(TaskReplacement, request), preconditions(request.headers)
    )
    return _changed(request, task)


@tasks.patch("/<task_id:str>")
async def patch_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Change some fields of a task"""
    number, body = parse_task_id(task_id), parse(TaskPatch, request, ACCEPT_MERGE_PATCH)
    conditions = preconditions(request.headers)

    async def patch(executor: Executor) -> HTTPResponse:
        return _changed(request, await _store(request, executor).patch(number, body, conditions))

    return await _idempotent(request, patch)


@tasks.patch("/<task_id:str>/complete")
async def toggle_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Toggle whether a task is completed"""
    number, conditions = parse_task_id(task_id), preconditions(request.headers)

    async def toggle(executor: Executor) -> HTTPResponse:
        return _changed(request, await _store(request, executor).toggle(number, conditions))

    return await _idempotent(request, toggle)


@tasks.delete("/<task_id:str>")
async def delete_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Delete a task"""
    await _store(request).delete(parse_task_id(task_id), preconditions(request.headers))
    return no_content()


def _path(request: Request, task: Task) -> str:
    return f"/api/{principal_of(request).path_id}/tasks/{task.id}"


def _changed(request: Request, task: Task) -> HTTPResponse:
    """The task as it is now. `Content-Location` says that the tag is this content's, not that of what was sent."""
    return _answer(task, headers={"Content-Location": _path(request, task)})


def _answer(task: Task, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> HTTPResponse:
    return json_bytes(task.document, status=status, headers={"ETag": task.tag, **headers})


def _wants_count(request: Request) -> bool:
    fields = request.headers.getall("prefer", None)
    if fields is None:
        return False
    preferences = ",".join(fields).replace(";", ",").split(",")
    return any(p.strip().lower() in ("count=exact", 'count="exact"') for p in preferences)
