"""What docs/operations.md tells people to type, typed."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database.postgres_programs import binaries
from tests.cluster import externals
from tests.cluster.kube import PREVIOUS_IMAGE, Namespace, values
from tests.cluster.people import OPERATIONS, Session, ask, block, forwarded, type_in
from tests.packaging.chart import CHART
from tests.support.drill import eventually

EMAIL = "ada@example.com"
DATABASE = "tasks-service-postgresql-0"
DEPLOYMENT = "deployment/tasks-service"
SERVER_SIDE = ("apply", "--server-side", "--field-manager=renderer", "--filename", "-")


@pytest.fixture
def release(space: Namespace) -> Iterator[Namespace]:
    """One pod, keys in a Secret of their own, the evaluation database."""
    externals.secrets(space)
    space.release("install", "replicaCount=1", "auth.existingSecret=tasks-auth")
    yield space
    space.helm("uninstall", "tasks", "--wait")


def restart(space: Namespace) -> None:
    type_in(space, block(OPERATIONS, "rollout restart"))
    space.kubectl("rollout", "status", DEPLOYMENT, "--timeout=240s")
    space.until_ready(1)


def set_values(space: Namespace, *settings: str) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    space.helm("upgrade", "tasks", CHART, "--reuse-values", *sets, "--wait", "--timeout", "4m")
    space.until_ready(1)


def secret(space: Namespace, name: str, key: str) -> str:
    return base64.b64decode(space.get("secret", name)["data"][key]).decode()


def put(space: Namespace, name: str, key: str, value: str) -> None:
    space.kubectl("patch", "secret", name, "--type=merge", f'--patch={{"stringData": {{"{key}": "{value}"}}}}')


def test_a_dump_comes_back_beside_the_old_database(release: Namespace, tmp_path: Path) -> None:
    session = Session.sign_up(release, EMAIL)
    session.add("before the dump")
    password = secret(release, "tasks-service-database", "password")
    with forwarded(release, f"pod/{DATABASE}", 5432) as port:
        server = f"postgresql://tasks:{password}@127.0.0.1:{port}"
        given = {"DIRECT_URL": f"{server}/tasks", "ADMIN_URL": f"{server}/postgres"}
        given["PATH"] = os.pathsep.join((str(binaries()), os.environ["PATH"]))
        for naming in ("pg_dump", "pg_restore"):
            type_in(release, block(OPERATIONS, naming).replace("tasks.dump", str(tmp_path / "tasks.dump")), **given)
            if naming == "pg_dump":
                session.add("after the dump")
    release.until_ready(1)
    assert session.titles() == ["before the dump"]
    assert release.sql("SELECT count(*) FROM tasks", database="tasks_old") == "2"


def test_a_new_secret_ends_access_tokens_and_no_session(release: Namespace) -> None:
    session = Session.sign_up(release, EMAIL)
    put(release, "tasks-auth", "jwt-secret", "another secret of the tests, long enough")
    restart(release)
    assert not session.known()
    assert session.renewed()
    assert session.known()
    release.sql("DELETE FROM refresh_tokens")  # as after a leak
    assert not session.renewed()
    assert Session.log_in(release, EMAIL).known()


def test_from_a_secret_to_a_private_key(release: Namespace) -> None:
    with_secret = Session.sign_up(release, EMAIL)
    set_values(release, "auth.privateKeyKey=key.pem")
    with_key = Session.log_in(release, EMAIL)
    assert ask(release, "GET", "/.well-known/jwks.json")[1]["keys"]
    assert with_secret.known()
    assert with_key.known()
    set_values(release, "auth.secretKey=")
    assert not with_secret.known()
    assert with_key.known()
    assert with_secret.renewed()


def test_the_database_gets_a_second_login(release: Namespace) -> None:
    session = Session.sign_up(release, EMAIL)
    release.sql("CREATE ROLE tasks_b LOGIN PASSWORD 'another' IN ROLE tasks", "ALTER ROLE tasks_b SET role = 'tasks'")
    put(release, "tasks-service-database", "url", "postgresql://tasks_b:another@tasks-service-postgresql:5432/tasks")
    restart(release)
    release.sql("ALTER ROLE tasks NOLOGIN")
    release.kubectl("delete", "pod", *release.ready_pods())
    release.until_ready(1)
    session.add("by the second login")
    assert session.titles() == ["by the second login"]


@pytest.fixture
def old_release(space: Namespace, previous_chart: Path) -> Iterator[Namespace]:
    space.release("install", "replicaCount=1", chart=previous_chart, image=PREVIOUS_IMAGE)
    yield space
    space.helm("uninstall", "tasks", "--wait")


def test_a_migration_that_fails_leaves_the_old_pods_serving(old_release: Namespace) -> None:
    session = Session.sign_up(old_release, EMAIL)
    old_release.sql("CREATE TABLE deleted_tasks (id int)")  # as a revision of this release wants to
    old_release.helm("upgrade", "tasks", CHART, *values("replicaCount=1"))
    eventually(lambda: failing(old_release), 180)
    (pod,) = failing(old_release)
    log = old_release.kubectl("logs", pod, "--container", "migrate", "--previous")
    assert 'relation "deleted_tasks" already exists' in log
    session.add("meanwhile")
    old_release.sql("DROP TABLE deleted_tasks")
    old_release.kubectl("rollout", "status", DEPLOYMENT, "--timeout=240s")
    assert session.titles() == ["meanwhile"]


def failing(space: Namespace) -> list[str]:
    """Pods whose migration has failed at least once."""
    migrations = {pod["metadata"]["name"]: pod["status"].get("initContainerStatuses", []) for pod in space.pods()}
    return [name for name, statuses in migrations.items() if any(status["restartCount"] for status in statuses)]


@pytest.fixture
def rendered(space: Namespace) -> Iterator[Namespace]:
    """Three pods, of manifests that Helm only rendered."""
    externals.secrets(space)
    given = render(space, "replicaCount=3")
    space.kubectl(*SERVER_SIDE, stdin=given)
    space.until_ready(3)
    yield space
    space.kubectl("delete", "--wait", "--filename", "-", stdin=given)
    space.kubectl("delete", "pvc", "--all")


def render(space: Namespace, *settings: str, only: str = "") -> str:
    shown = ("--show-only", only) if only else ()
    return space.helm("template", "tasks", CHART, *values("auth.existingSecret=tasks-auth", *settings), *shown)


def with_the_autoscaler(space: Namespace) -> int:
    """How many pods the next release asks for."""
    settings = ("autoscaling.enabled=true", "autoscaling.maxReplicas=3")
    space.kubectl(*SERVER_SIDE, stdin=render(space, *settings, only="templates/deployment.yaml"))
    return int(space.get(DEPLOYMENT)["spec"]["replicas"])


def test_what_only_renders_keeps_the_pods_when_the_autoscaler_comes(rendered: Namespace) -> None:
    type_in(rendered, block(OPERATIONS, "--field-manager=autoscaler"))
    assert with_the_autoscaler(rendered) == 3


def test_without_that_one_pod_is_left(rendered: Namespace) -> None:
    """Else the test above would show nothing."""
    assert with_the_autoscaler(rendered) == 1
