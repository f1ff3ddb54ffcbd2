"""Several changes at once: all of them in one transaction, or none."""

from typing import Annotated, ClassVar, Literal

import orjson
from pydantic import Field
from typing_extensions import TypeAliasType

from service.problems import Problem
from service.rest.bodies import Body
from service.rest.conditional import Preconditions, states_named
from service.tasks.schemas import NewTask, TaskId, TaskPatch
from service.tasks.store import Task, TaskStore
from service.tasks.trash import TrashStore

BATCH_BYTES_MAX = 1024 * 1024
OPERATIONS_MAX = 100

IfMatch = Annotated[str, Field(max_length=1000)]


class CreateOperation(Body):
    op: Literal["create"]
    task: NewTask


class PatchOperation(Body):
    op: Literal["patch"]
    id: TaskId
    task: TaskPatch
    if_match: IfMatch | None = None


class TaskOperation(Body):
    """On a task that is so already, `complete` and `reopen` change nothing but its `updated_at`."""

    op: Literal["complete", "reopen", "delete", "restore"]
    id: TaskId
    if_match: IfMatch | None = None


Operation = CreateOperation | PatchOperation | TaskOperation
# Under this name in the API's description, and so in clients that are generated from it.
BatchOperation = TypeAliasType("BatchOperation", Annotated[Operation, Field(discriminator="op")])


class Batch(Body):
    tags: ClassVar = frozenset({"create", "patch", "complete", "reopen", "delete", "restore"})

    operations: Annotated[list[BatchOperation], Field(min_length=1, max_length=OPERATIONS_MAX)]


class BatchStore:
    """Runs the operations of one user in their order."""

    def __init__(self, tasks: TaskStore, trash: TrashStore) -> None:
        """Both on the same open transaction."""
        self._tasks = tasks
        self._trash = trash

    async def run(self, batch: Batch) -> bytes:
        """The results, as JSON. Raises what the first operation raises that fails, with its place in `errors`."""
        results = []
        for number, operation in enumerate(batch.operations):
            try:
                results.append(await self._result(operation))
            except Problem as problem:
                problem.errors = [{"pointer": f"/operations/{number}", "message": problem.detail, "code": problem.code}]
                raise
        return b'{"results":[%b]}' % b",".join(results)

    async def _result(self, operation: Operation) -> bytes:
        if isinstance(operation, CreateOperation):
            return _written(201, await self._tasks.create(operation.task.given()))
        states = Preconditions(states_named(operation.if_match))
        if isinstance(operation, PatchOperation):
            return _written(200, await self._tasks.change(operation.id, operation.task.given(), states))
        if operation.op == "delete":
            await self._tasks.delete(operation.id, states)
            return b'{"status":204}'
        if operation.op == "restore":
            return _written(200, await self._trash.restore(operation.id, states))
        completed = {"completed": operation.op == "complete"}
        return _written(200, await self._tasks.change(operation.id, completed, states))


def _written(status: int, task: Task) -> bytes:
    return b'{"status":%d,"etag":%b,"task":%b}' % (status, orjson.dumps(task.tag), task.document)
