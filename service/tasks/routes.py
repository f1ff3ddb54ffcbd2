"""The task routes: parse, call, render."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import urlencode

from sanic import Blueprint, HTTPResponse

from service.accounts.principal import owner_of_path, principal_of
from service.database.pool import Executor
from service.http.requests import Request
from service.http.responses import OWN, READ, json_bytes, no_content, unchanged
from service.rest.bodies import ACCEPT_MERGE_PATCH, parse
from service.rest.conditional import check, is_conditional, not_modified, preconditions
from service.tasks.batch import BATCH_BYTES_MAX, Batch, BatchStore
from service.tasks.paging import TaskQuery, parse_list_query
from service.tasks.schemas import NewTask, TaskPatch, TaskReplacement, parse_task_id
from service.tasks.services import announce, once, services_of, task_store, trash_store
from service.tasks.store import Task

TAG_DIGITS = 12
"""Of a query's digest, in an entity tag."""

tasks = Blueprint("tasks", url_prefix="/api/<user_id:str>/tasks")
tasks.on_request(owner_of_path)
tasks.on_response(announce)


@tasks.post("")
async def create_task(request: Request, user_id: str) -> HTTPResponse:
    """Create a task"""
    body = parse(NewTask, request)

    async def create(executor: Executor) -> HTTPResponse:
        store = task_store(request, executor)
        if is_conditional(request.headers):
            check(request.headers, _tag(request, parse_list_query(""), await store.clock()))
        task = await store.create(body.given())
        return answer(task, status=201, headers={"Location": _path(request, task)})

    return await once(request, create)


@tasks.route("", methods=READ)
async def list_tasks(request: Request, user_id: str) -> HTTPResponse:
    """List tasks"""
    principal, cursors = principal_of(request), services_of(request).cursors
    query = parse_list_query(request.query_string).behind(cursors, principal.user_id)
    store = task_store(request)
    headers = dict(OWN)
    if is_conditional(request.headers):
        headers["ETag"] = _tag(request, query, await store.clock())
        if not_modified(request.headers, headers["ETag"]):
            return unchanged(headers)
    page = await store.page(query)
    headers["ETag"] = _tag(request, query, page.clock)
    if page.last is not None:
        following = query.next_page(cursors, principal.user_id, page.last)
        headers["Link"] = next_link(f"/api/{principal.path_id}/tasks", following)
    if _wants_count(request):
        headers["X-Total-Count"] = str(page.total if query.unfiltered else await store.count(query))
        headers["Preference-Applied"] = "count=exact"
    return json_bytes(page.body, headers=headers)


@tasks.route("/<task_id:str>", methods=READ)
async def get_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Read a task"""
    task = await task_store(request).get(parse_task_id(task_id))
    if not_modified(request.headers, task.tag):
        return unchanged({"ETag": task.tag, **OWN})
    return answer(task, headers=OWN)


@tasks.put("/<task_id:str>")
async def replace_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Replace a task's title and what else is given"""
    number, body = parse_task_id(task_id), parse(TaskReplacement, request)
    return changed(request, await task_store(request).change(number, body.given(), preconditions(request.headers)))


@tasks.patch("/<task_id:str>")
async def patch_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Change some fields of a task"""
    number, body = parse_task_id(task_id), parse(TaskPatch, request, ACCEPT_MERGE_PATCH)
    states = preconditions(request.headers)

    async def patch(executor: Executor) -> HTTPResponse:
        return changed(request, await task_store(request, executor).change(number, body.given(), states))

    return await once(request, patch)


@tasks.patch("/<task_id:str>/complete")
async def toggle_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Toggle whether a task is completed"""
    number, states = parse_task_id(task_id), preconditions(request.headers)

    async def toggle(executor: Executor) -> HTTPResponse:
        return changed(request, await task_store(request, executor).toggle(number, states))

    return await once(request, toggle)


@tasks.delete("/<task_id:str>")
async def delete_task(request: Request, user_id: str, task_id: str) -> HTTPResponse:
    """Delete a task: it goes to the trash"""
    await task_store(request).delete(parse_task_id(task_id), preconditions(request.headers))
    return no_content()


@tasks.post("/batch", ctx_body_bytes_max=BATCH_BYTES_MAX)
async def run_batch(request: Request, user_id: str) -> HTTPResponse:
    """Change several tasks at once, all or nothing"""
    batch = parse(Batch, request)

    async def run(executor: Executor) -> HTTPResponse:
        async with executor.transaction() as transaction:
            store = BatchStore(task_store(request, transaction), trash_store(request, transaction))
            return json_bytes(await store.run(batch))

    return await once(request, run)


def answer(task: Task, *, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> HTTPResponse:
    return json_bytes(task.document, status=status, headers={"ETag": task.tag, **headers})


def changed(request: Request, task: Task) -> HTTPResponse:
    """The task as it is now. `Content-Location` says that the tag is this content's, not that of what was sent."""
    return answer(task, headers={"Content-Location": _path(request, task)})


def next_link(path: str, parameters: Iterable[tuple[str, str]]) -> str:
    return f'<{path}?{urlencode(tuple(parameters))}>; rel="next"'


def _path(request: Request, task: Task) -> str:
    return f"/api/{principal_of(request).path_id}/tasks/{task.id}"


def _tag(request: Request, query: TaskQuery, clock: int) -> str:
    """Of a page: nothing but the clock, the query and what it is asked for beside it decides what stands there."""
    return f'"{clock:x}-{query.digest[:TAG_DIGITS]}{"n" if _wants_count(request) else ""}"'


def _wants_count(request: Request) -> bool:
    fields = request.headers.getall("prefer", None)
    if fields is None:
        return False
    preferences = ",".join(fields).replace(";", ",").split(",")
    return any(p.strip().lower() in ("count=exact", 'count="exact"') for p in preferences)
