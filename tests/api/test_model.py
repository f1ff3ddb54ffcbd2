"""The API against a model of it in a few lines: tasks, trash, changes, batches and entity tags, in random order."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.support.drill import pick
from tests.support.server import Service
from tests.support.users import sign_up

# Python strips four control characters that Unicode does not count as white space: titles here have none of them.
TITLES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    str.strip
)
TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
TIMES = {"updated_at", "completed_at"}


def without(names: set[str], task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in names}


class TasksOfOneUser(RuleBasedStateMachine):
    """What the model keeps: live and deleted tasks as they were last answered, and what a follower has seen of them."""

    ids: Bundle[str] = Bundle("ids")
    service_url: str

    @initialize()
    def begin(self) -> None:
        self.user = sign_up(self.service_url)
        self.live: dict[str, dict[str, Any]] = {}
        self.trash: dict[str, dict[str, Any]] = {}
        self.followed: dict[str, dict[str, Any]] = {}
        self.token: str | None = None
        self.last = ""

    def teardown(self) -> None:
        if hasattr(self, "user"):
            self.user.http.close()

    def changed(self, task: dict[str, Any], expected: dict[str, Any]) -> None:
        """An answer is what the model expects, with a later time than any before."""
        assert {k: v for k, v in task.items() if k not in TIMES} == {
            k: v for k, v in expected.items() if k not in TIMES
        }
        assert task["updated_at"] > self.last
        assert (task["completed_at"] is not None) == task["completed"]
        self.last = task["updated_at"]
        self.live[task["id"]] = task

    def path(self, task_id: str, suffix: str = "") -> str:
        return f"{self.user.tasks}/{task_id}{suffix}"

    @rule(target=ids, title=TITLES, description=TEXTS)
    def create(self, title: str, description: str | None) -> str:
        task = self.user.create(title, description=description)
        self.changed(task, {**task, "title": title.strip(), "description": description, "completed": False})
        return str(task["id"])

    @rule(
        task_id=ids,
        patch=st.fixed_dictionaries({}, optional={"title": TITLES, "description": TEXTS, "completed": st.booleans()}),
    )
    def patch(self, task_id: str, patch: dict[str, Any]) -> None:
        response = self.user.http.patch(self.path(task_id), json=patch)
        if task_id not in self.live:
            assert response.status_code == 404
            return
        expected = {**self.live[task_id], **patch}
        self.changed(response.json(), {**expected, "title": expected["title"].strip()})

    @rule(task_id=ids, headers=st.sampled_from([{}, {"If-Match": '"1"'}]))
    def toggle(self, task_id: str, headers: dict[str, str]) -> None:
        response = self.user.http.patch(self.path(task_id, "/complete"), headers=headers)
        if task_id not in self.live:
            assert response.status_code == 404
        elif headers:
            assert response.status_code == 412
        else:
            before = self.live[task_id]
            self.changed(response.json(), {**before, "completed": not before["completed"]})

    @rule(task_id=ids)
    def delete(self, task_id: str) -> None:
        response = self.user.http.delete(self.path(task_id))
        assert response.status_code == (204 if task_id in self.live else 404)
        if task_id in self.live:
            self.trash[task_id] = self.live.pop(task_id)

    @rule(task_id=ids)
    def restore(self, task_id: str) -> None:
        response = self.user.http.post(f"/api/{self.user.id}/trash/{task_id}/restore")
        assert response.status_code == (200 if task_id in self.trash else 404)
        if task_id in self.trash:
            self.changed(response.json(), self.trash.pop(task_id))

    @rule(task_id=ids)
    def erase(self, task_id: str) -> None:
        response = self.user.http.delete(f"/api/{self.user.id}/trash/{task_id}")
        assert response.status_code == (204 if task_id in self.trash else 404)
        self.trash.pop(task_id, None)

    @rule(first=ids, second=ids, title=TITLES)
    def batch(self, first: str, second: str, title: str) -> None:
        """Complete one, delete another, create a third: all, or none of it."""
        operations = [
            {"op": "complete", "id": first},
            {"op": "delete", "id": second},
            {"op": "create", "task": {"title": title}},
        ]
        response = self.user.http.post(f"{self.user.tasks}/batch", json={"operations": operations})
        if first not in self.live or second not in self.live:
            assert response.status_code == 404
            return
        completed, _, created = response.json()["results"]
        self.changed(completed["task"], {**self.live[first], "completed": True})
        self.trash[second] = self.live.pop(second)
        self.last = max(self.last, completed["task"]["updated_at"])
        self.changed(created["task"], {**created["task"], "title": title.strip()})

    @rule(limit=st.integers(1, 5))
    def follow(self, limit: int) -> None:
        while True:
            asked: dict[str, str | int] = {"limit": limit, **({"since": self.token} if self.token else {})}
            page = self.user.http.get(f"{self.user.tasks}/changes", params=asked).json()
            for change in page["changes"]:
                if change["type"] == "task":
                    self.followed[change["task"]["id"]] = change["task"]
                else:
                    self.followed.pop(change["id"], None)
            self.token = page["next"]
            if not page["more"]:
                break
        assert self.followed == self.live

    @rule()
    def look(self) -> None:
        """The list in full, its tag, and the trash."""
        response = self.user.http.get(self.user.tasks, params={"sort": "updated_at"}, headers={"Prefer": "count=exact"})
        assert response.json() == sorted(self.live.values(), key=lambda task: str(task["updated_at"]))
        assert response.headers["X-Total-Count"] == str(len(self.live))
        known = {"Prefer": "count=exact", "If-None-Match": response.headers["ETag"]}
        again = self.user.http.get(self.user.tasks, params={"sort": "updated_at"}, headers=known)
        assert again.status_code == 304
        shown = self.user.http.get(f"/api/{self.user.id}/trash").json()
        assert {task["id"]: without({"deleted_at"}, task) for task in shown} == self.trash


def test_the_api_agrees_with_its_model(service: Service) -> None:
    machine = type("Machine", (TasksOfOneUser,), {"service_url": service.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=pick(8, 300),
            stateful_step_count=pick(25, 50),
            phases=pick([Phase.generate], list(Phase)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
