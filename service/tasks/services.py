"""What the routes of tasks work with, and the stores of the user who is calling."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from sanic import HTTPResponse

from service.accounts.principal import principal_of
from service.database.pool import Executor, Pool
from service.http.requests import Request
from service.rest.idempotency import idempotent
from service.tasks.changes import SyncTokens
from service.tasks.cursors import Cursors
from service.tasks.page_cache import PageCache
from service.tasks.store import TaskStore
from service.tasks.streaming import Streaming
from service.tasks.trash import TrashStore

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class TaskServices:
    pool: Pool
    pages: PageCache
    cursors: Cursors
    sync_tokens: SyncTokens
    streaming: Streaming
    tasks_max: int
    retention_seconds: float


def services_of(request: Request) -> TaskServices:
    return request.services[TaskServices]


def task_store(request: Request, executor: Executor | None = None) -> TaskStore:
    services = services_of(request)
    return TaskStore(
        executor or services.pool, principal_of(request).user_id, services.pages, tasks_max=services.tasks_max
    )


def trash_store(request: Request, executor: Executor | None = None) -> TrashStore:
    services = services_of(request)
    return TrashStore(
        executor or services.pool,
        principal_of(request).user_id,
        retention_seconds=services.retention_seconds,
        tasks_max=services.tasks_max,
    )


async def once(request: Request, work: Callable[[Executor], Awaitable[HTTPResponse]]) -> HTTPResponse:
    """Run `work`, once for each Idempotency-Key."""
    return await idempotent(request, services_of(request).pool, principal_of(request).user_id, work)


def announce(request: Request, response: HTTPResponse) -> None:
    """Response middleware of every blueprint that writes tasks: streams hear of the change at once, not when asked."""
    if request.method in WRITES and response.status < HTTPStatus.MULTIPLE_CHOICES:
        services_of(request).streaming.changed(principal_of(request).user_id)
