"""What is done to a release, its pods and their node."""

import time
from collections.abc import Callable
from contextlib import suppress

from tests.cluster.kube import Json, Namespace, Refused, on_node
from tests.packaging.chart import CHART
from tests.support.drill import eventually

Fault = Callable[[Namespace], None]

PROCESSES = "ps -eo pid,args | awk '/[p]ython -m service serve/ {print $1}'"
DATABASE = "tasks-service-postgresql"
THROTTLED_SECONDS = 30
FILL = """
import os, time
for _ in range(12):
    if os.fork() == 0:
        taken = bytearray(25 << 20)
        taken[::4096] = b"x" * len(taken[::4096])
        time.sleep(8)
        os._exit(0)
    time.sleep(0.05)
time.sleep(8)
"""
"""Many small processes fill the container's limit, so that the kernel ends the largest one, which is the service."""


def upgrade(space: Namespace) -> None:
    space.release("upgrade", "log.level=debug")


def roll_back(space: Namespace) -> None:
    space.helm("rollback", "tasks", "--wait", "--timeout", "4m")


def scale_up(space: Namespace) -> None:
    space.helm("upgrade", "tasks", CHART, "--reuse-values", "--set", "replicaCount=3", "--wait")


def scale_down(space: Namespace) -> None:
    space.helm("upgrade", "tasks", CHART, "--reuse-values", "--set", "replicaCount=2", "--wait")


def delete_a_pod(space: Namespace) -> None:
    space.kubectl("delete", "pod", space.ready_pods()[0])


def delete_all_pods(space: Namespace) -> None:
    space.kubectl("delete", "pod", *space.ready_pods())


def kill_a_pod(space: Namespace) -> None:
    """SIGKILL, as a node that runs out of memory gives it; nothing is told to anybody before."""
    space.kubectl("delete", "pod", space.ready_pods()[0], "--grace-period=0", "--force")


def kill_a_process(_: Namespace) -> None:
    on_node(f"kill -9 $({PROCESSES} | head -n 1)")


def exhaust_memory(space: Namespace) -> None:
    pod = space.ready_pods()[0]
    before = restarts(space, pod)
    with suppress(Refused):  # the kernel may take what fills it along
        space.python(pod, FILL)
    eventually(lambda: restarts(space, pod) > before, 60)


def restarts(space: Namespace, name: str) -> int:
    return int(container(space, name)["restartCount"])


def container(space: Namespace, pod: str) -> Json:
    """What the node says of the service's container."""
    (found,) = [status for each in space.pods() if each["metadata"]["name"] == pod for status in statuses(each)]
    return found


def statuses(pod: Json) -> list[Json]:
    return [status for status in pod["status"]["containerStatuses"] if status["name"] == "tasks-service"]


def throttle(space: Namespace) -> None:
    """A tenth of a core for each pod, without a restart."""
    pods = space.ready_pods()
    for pod in pods:
        resize(space, pod, request="100m", limit="100m")
    time.sleep(THROTTLED_SECONDS)
    for pod in pods:
        resize(space, pod, request="250m", limit="2")


def resize(space: Namespace, pod: str, *, request: str, limit: str) -> None:
    resources = f'{{"requests":{{"cpu":"{request}"}},"limits":{{"cpu":"{limit}"}}}}'
    patch = f'{{"spec":{{"containers":[{{"name":"tasks-service","resources":{resources}}}]}}}}'
    space.kubectl("patch", "pod", pod, "--subresource", "resize", "--patch", patch)
    eventually(lambda: container(space, pod).get("resources", {}).get("limits", {}).get("cpu") == limit, 60)


def kill_the_database(space: Namespace) -> None:
    space.kubectl("delete", "pod", f"{DATABASE}-0", "--grace-period=0", "--force")
    space.kubectl("rollout", "status", f"statefulset/{DATABASE}", "--timeout=120s")


def restart_containerd(_: Namespace) -> None:
    on_node("kill -9 $(pidof containerd)")
    time.sleep(15)


def take_the_api_server_away(_: Namespace) -> None:
    on_node("kill -STOP $(pidof kube-apiserver); sleep 60; kill -CONT $(pidof kube-apiserver)", timeout_seconds=120)
