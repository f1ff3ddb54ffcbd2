"""The task routes: parse, call, render."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.database.pool import Executor, Pool
from service.http.requests import Request
from service.http.responses import OWN, READ, json_bytes, no_content, unchanged
from service.rest.bodies import MERGE_PATCH, parse
from service.rest.conditional import body_tag, matching_times, not_modified
from service.rest.idempotency import idempotent
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
        task = await _store(request, executor).create(body)
        location = f"/api/{principal_of(request).path_id}/tasks/{task.id}"
        return _answer(task, status=201, headers={"Location": location})

    return await _idempotent(request, create)


@tasks.route("", methods=READ)
async def list_tasks(request: Request, user_id: str) -> HTTPResponse:
    """List tasks"""
    principal = principal_of(request)
    cursors = request.services[TaskServices].cursors
    query = cursors.resume(parse_list_query(request.query_string), principal.user_id)
    store = _store(request)
    page = await store.page(query)
    headers = dict(OWN)
    if len(page) > query.limit:
        page.pop()
        headers["Link"] = cursors.link(query, principal.user_id, f"/api/{principal.path_id}/tasks", page[-1])
    if _wants_count(request):
        headers["X-Total-Count"] = str(await store.count(query))
        headers["Preference-Applied"] = "count=exact"
    body = json_array(page)
    headers["ETag"] = tag = body_tag(body)
    if not_modified(request.headers, tag):
        return unchanged(headers)
    return json_bytes(body, headers=headers)


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
        parse_task_id(task_id), parse(TaskReplacement, request), matching_times(request.headers)
    )
    return _answer(task)


@tasks.patch("/<task_id:str>")
async def patch_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Change some fields of a task"""
    number, body, allowed = (
        parse_task_id(task_id),
        parse(TaskPatch, request, MERGE_PATCH),
        matching_times(request.headers),
    )

    async def patch(executor: Executor) -> HTTPResponse:
        return _answer(await _store(request, executor).patch(number, body, allowed))

    return await _idempotent(request, patch)


@tasks.patch("/<task_id:str>/complete")
async def toggle_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Toggle whether a task is completed"""
    number, allowed = parse_task_id(task_id), matching_times(request.headers)

    async def toggle(executor: Executor) -> HTTPResponse:
        return _answer(await _store(request, executor).toggle(number, allowed))

    return await _idempotent(request, toggle)


@tasks.delete("/<task_id:str>")
async def delete_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Delete a task"""
    await _store(request).delete(parse_task_id(task_id), matching_times(request.headers))
    return no_content()


def _answer(task: Task, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> HTTPResponse:
    return json_bytes(task.document, status=status, headers={"ETag": task.tag, **headers})


def _wants_count(request: Request) -> bool:
    fields = request.headers.getall("prefer", None)
    if fields is None:
        return False
    preferences = ",".join(fields).replace(";", ",").split(",")
    return any(p.strip().lower() in ("count=exact", 'count="exact"') for p in preferences)
