"""All of the API through a generated client: python generated.py BASE_URL (docs/examples/generated-python.md)."""

import json
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import date
from http import HTTPStatus

from tasks_client import AuthenticatedClient, Client
from tasks_client.api.accounts import signup
from tasks_client.api.tasks import (
    create_task,
    delete_task,
    list_changes,
    list_tasks,
    patch_task,
    restore_task,
    run_batch,
)
from tasks_client.models import (
    Batch,
    ChangePage,
    CreateOperation,
    NewTask,
    PatchOperation,
    Problem,
    Session,
    Signup,
    Task,
    TaskChange,
    TaskOperation,
    TaskPatch,
)


def main(base: str) -> None:
    email = f"{uuid.uuid4()}@example.com"
    session = signup.sync(client=Client(base), body=Signup(email=email, password="correct horse"))  # noqa: S106  an example
    assert isinstance(session, Session)  # here and below: anything else is a Problem
    me = session.user.id
    with AuthenticatedClient(base, token=session.access_token) as api:
        # Sent twice with one key, as after a lost answer: one task.
        new = NewTask("buy milk", due_on=date(2030, 2, 28), priority="high", labels=["shop"])
        key = str(uuid.uuid4())
        answers = [create_task.sync_detailed(me, client=api, body=new, idempotency_key=key) for _ in range(2)]
        task, etag = answers[0].parsed, answers[0].headers["ETag"]
        assert isinstance(task, Task)
        print("created", task.title, task.due_on, task.priority, answers[0].parsed == answers[1].parsed)

        # A merge patch: None clears, UNSET (what is not named) stays. Only if nobody has changed the task meanwhile.
        changed = patch_task.sync_detailed(me, task.id, client=api, body=TaskPatch(due_on=None), if_match=etag)
        late = patch_task.sync(me, task.id, client=api, body=TaskPatch(title="late"), if_match=etag)
        assert isinstance(changed.parsed, Task)
        assert isinstance(late, Problem)
        print("patched", changed.parsed.due_on, changed.parsed.labels, late.status, late.code)

        start = list_changes.sync(me, client=api)
        assert isinstance(start, ChangePage)
        batch = Batch([CreateOperation("create", NewTask(f"task {n}")) for n in range(4)])
        batch.operations.append(TaskOperation("complete", task.id))
        batch.operations.append(PatchOperation("patch", task.id, TaskPatch(description="oat")))
        run_batch.sync(me, client=api, body=batch)
        print("paged", [each.title for each in all_tasks(api, me)])
        urgent = list_tasks.sync(me, client=api, priority=["high", "urgent"], completed=True, label=["shop"])
        assert isinstance(urgent, list)
        print("filtered", [(each.title, each.description) for each in urgent])

        delete_task.sync_detailed(me, task.id, client=api)
        restored = restore_task.sync(me, task.id, client=api)
        assert isinstance(restored, Task)
        told = [change.task.title for change in followed(api, me, start.next_) if isinstance(change, TaskChange)]
        print("followed", told)


def all_tasks(api: AuthenticatedClient, me: uuid.UUID) -> Iterator[Task]:
    """Page by page: the next page's cursor stands in `Link`."""
    page = list_tasks.sync_detailed(me, client=api, limit=2)
    while isinstance(page.parsed, list):
        yield from page.parsed
        following = re.search(r"[?&]cursor=([^&>]+)", page.headers.get("Link", ""))
        if following is None:
            return
        page = list_tasks.sync_detailed(me, client=api, limit=2, cursor=following[1])


def followed(api: AuthenticatedClient, me: uuid.UUID, since: str) -> Iterator[TaskChange]:
    """The stream, which no generator knows: the client's own connection, and the generated types. Until all is told."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": since}
    with api.get_httpx_client().stream("GET", f"/api/{me}/tasks/changes", headers=headers) as stream:
        assert stream.status_code == HTTPStatus.OK
        for line in stream.iter_lines():
            if line.startswith("data: "):
                change = TaskChange.from_dict(json.loads(line[6:]))
                yield change
                if change.task.title == "buy milk":  # restored, and so the last change
                    return


if __name__ == "__main__":
    main(sys.argv[1])
