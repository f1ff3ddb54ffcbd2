"""What the chart's notes and the runbooks tell people to type, typed."""

import re
from collections.abc import Iterator

import pytest

from tests.cluster.faults import restarts
from tests.cluster.kube import Namespace, command
from tests.cluster.people import blocks, type_in
from tests.support.database import ROOT
from tests.support.drill import eventually
from tests.support.server import free_port
from tests.support.tools import tool

RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
BLOCKS = [pytest.param(text, id=path.stem) for path in RUNBOOKS for text in blocks(path) if "kubectl" in text]
END_FORWARDING = "trap 'kill $(jobs -p)' EXIT\n"


@pytest.fixture(scope="module")
def release(space: Namespace) -> Iterator[Namespace]:
    space.release("install", "replicaCount=1")
    yield space
    space.helm("uninstall", "tasks", "--wait")


def test_the_notes_lead_to_the_first_task(release: Namespace) -> None:
    notes = release.helm("get", "notes", "tasks")
    script = "\n".join(line.strip() for line in notes.splitlines() if line.startswith("  "))
    for port, target in (("8000", "8000:80"), ("9000", "9000")):
        here = str(free_port())
        script = script.replace(f" {target} &", f" {here}:{target.rpartition(':')[2]} >/dev/null & sleep 3")
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{here}")
    printed = type_in(release, END_FORWARDING + script)
    assert printed.count("Water the plants") == 2
    assert '"schema_missing":[]' in printed


@pytest.mark.parametrize("text", BLOCKS)
def test_a_runbooks_commands_can_be_typed(release: Namespace, text: str) -> None:
    """One by one; what `grep` and `tail` leave of their answers is not looked at."""
    pod = started_again(release) if "--previous" in text else release.ready_pods()[0]
    if "servicemonitors" not in command(tool("kubectl"), "api-resources"):
        text = re.sub(r".*servicemonitor.*\n", "", text)
    for line in text.replace("\\\n", "").splitlines():
        if "JOB" not in line and "-c migrate --previous" not in line:  # see test_release.py and test_operations.py
            type_in(release, re.sub(r" \| .*", "", line).replace("POD", pod))


def started_again(space: Namespace) -> str:
    (pod,) = space.ready_pods()
    before = restarts(space, pod)
    space.python(pod, "import os; os.kill(1, 15)")
    eventually(lambda: restarts(space, pod) > before, 60)
    space.until_ready(1)
    return pod
