"""The example of k8s/patroni in a namespace: who is the primary, and what can be done to it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.kube import Namespace, Refused, command, insist, on_node
from tests.packaging.chart import parse
from tests.support.database import ROOT
from tests.support.drill import eventually
from tests.support.tools import tool

FOLDER = ROOT / "k8s" / "patroni"
PASSWORD = "of-the-tests"
PODS = ("tasks-db-0", "tasks-db-1", "tasks-db-2")
NEW_PRIMARY_SECONDS = 90
CUT_OFF_SECONDS = 5.0
LOCK_SECONDS = 20.0
API_PORT = 6443


def install(space: Namespace) -> None:
    """Three instances and two PgBouncer, with Secrets `direct`, `pooled` and `listed` for the chart."""
    users = f'"tasks" "{PASSWORD}"\n'
    space.secret("tasks-db", superuser=PASSWORD, standby=PASSWORD, tasks=PASSWORD, **{"userlist.txt": users})
    space.apply(*parse(command(tool("kubectl"), "kustomize", FOLDER)))
    space.kubectl("rollout", "status", "statefulset/tasks-db", "--timeout=240s")
    space.kubectl("rollout", "status", "deployment/tasks-pooler", "--timeout=120s")
    eventually(lambda: insist(lambda: healthy(space)), 120)
    direct = f"postgresql://tasks:{PASSWORD}@tasks-db:5432/tasks"
    members = ",".join(f"{pod}.tasks-db-members" for pod in PODS)
    space.secret("direct", url=direct)
    space.secret("listed", url=f"postgresql://tasks:{PASSWORD}@{members}/tasks?target_session_attrs=read-write")
    space.secret("pooled", url=f"postgresql://tasks:{PASSWORD}@tasks-pooler:6432/tasks", direct_url=direct)


def ctl(space: Namespace, *arguments: str) -> str:
    """`patronictl` in whichever member answers."""
    told = ""
    for pod in PODS:
        try:
            return space.kubectl(
                "exec", pod, "--container", "postgresql", "--",
                "patronictl", "--config-file", "/etc/patroni/patroni.yaml", *arguments, timeout_seconds=30,
            )  # fmt: skip
        except Refused as error:
            told = str(error)
    raise Refused(told)


def members(space: Namespace) -> dict[str, str]:
    """Role of each member that runs."""
    listed = json.loads(ctl(space, "list", "--format", "json"))
    return {member["Member"]: member["Role"] for member in listed if member.get("State") in {"running", "streaming"}}


def primary(space: Namespace) -> str:
    """Its pod, or "" while there is none."""
    return next((name for name, role in members(space).items() if role == "Leader"), "")


def healthy(space: Namespace) -> bool:
    """All run, one leads, and one is synchronous where that is asked for."""
    roles = sorted(members(space).values())
    wanted = "Sync Standby" if _synchronous(space) else "Replica"
    return len(roles) == len(PODS) and "Leader" in roles and wanted in roles


@contextmanager
def synchronous(space: Namespace, *, on: bool) -> Iterator[None]:
    _set_synchronous(space, "true" if on else "false")
    yield
    _set_synchronous(space, "true")


def switch_over(space: Namespace) -> None:
    old = primary(space)
    ctl(space, "switchover", "tasks-db", "--primary", old, "--force")
    _until_replaced(space, old)


def kill(space: Namespace) -> None:
    """Its container starts anew before its lock runs out, and goes on leading."""
    old = primary(space)
    before = _restarts(space, old)
    _kill_processes(space, old)
    eventually(lambda: insist(lambda: _restarts(space, old)) > before, NEW_PRIMARY_SECONDS)


def take_away(space: Namespace) -> None:
    """As a node that dies with it: no pod comes in its place until there is a new primary."""
    old = primary(space)
    space.kubectl("create", "quota", "no-more", "--hard=pods=0")
    try:
        _kill_processes(space, old)
        space.kubectl("delete", "pod", old, "--grace-period=0", "--force")
        _until_replaced(space, old)
    finally:
        insist(lambda: space.kubectl("delete", "quota", "no-more"))


def cut_off(space: Namespace) -> None:
    """From everybody, clients and the API server too."""
    old = primary(space)
    with _dropped(*_api(space, old), *_both_ways(_address(space, old))):
        _until_replaced(space, old)
        time.sleep(CUT_OFF_SECONDS)


def isolate(space: Namespace) -> None:
    """From the other members and the API server. Clients still reach it, and it does not know what it has lost."""
    old = primary(space)
    others = [_address(space, pod) for pod in PODS if pod != old]
    between = [rule for other in others for rule in _both_ways(_address(space, old), other)]
    with _dropped(*_api(space, old), *between):
        _until_replaced(space, old)
        time.sleep(CUT_OFF_SECONDS)


def lose_the_api(space: Namespace) -> None:
    """No member reaches the API server for twice the time of the lock; they reach each other."""
    old = primary(space)
    with _dropped(*(rule for pod in PODS for rule in _api(space, pod))):
        time.sleep(2 * LOCK_SECONDS)
    assert insist(lambda: primary(space)) == old


def _synchronous(space: Namespace) -> bool:
    return "synchronous_mode: true" in ctl(space, "show-config")


def _set_synchronous(space: Namespace, value: str) -> None:
    ctl(space, "edit-config", "--force", "--set", f"synchronous_mode={value}")
    eventually(lambda: insist(lambda: healthy(space)), 180)


def _until_replaced(space: Namespace, old: str) -> None:
    eventually(lambda: insist(lambda: primary(space)) not in {"", old}, NEW_PRIMARY_SECONDS)


def _kill_processes(space: Namespace, pod: str) -> None:
    """SIGKILL: to delete a pod, with whatever grace, begins with SIGTERM, at which Patroni gives its lock away."""
    ours = f"grep -lz '^PATRONI_KUBERNETES_NAMESPACE={space.name}$' /proc/[0-9]*/environ 2>/dev/null"
    on_node(f"kill -9 $(grep -lz '^HOSTNAME={pod}$' $({ours}) | cut -d/ -f3)")


def _restarts(space: Namespace, pod: str) -> int:
    return int(space.get("pod", pod)["status"]["containerStatuses"][0]["restartCount"])


def _address(space: Namespace, pod: str) -> str:
    return str(space.get("pod", pod)["status"]["podIP"])


def _api(space: Namespace, pod: str) -> list[str]:
    return [f"INPUT -s {_address(space, pod)} -p tcp --dport {API_PORT} -j DROP"]


def _both_ways(address: str, other: str = "0.0.0.0/0") -> list[str]:
    return [f"FORWARD -s {address} -d {other} -j DROP", f"FORWARD -s {other} -d {address} -j DROP"]


@contextmanager
def _dropped(*rules: str) -> Iterator[None]:
    on_node(" && ".join(f"iptables -I {rule}" for rule in rules))
    try:
        yield
    finally:
        on_node("; ".join(f"iptables -D {rule}" for rule in rules))
