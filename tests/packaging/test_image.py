"""The image is small, bare and unprivileged, and the chart's pod really runs from it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.chart import CHART
from tests.packaging.containers import BASE, IMAGE, Pod, build_image, podman, postgresql
from tests.support.tools import succeed

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

SIZE_BEYOND_BASE_BYTES = 150_000_000
EXIT_SECONDS = 10


@pytest.fixture(scope="module")
def image() -> str:
    return build_image()


@pytest.fixture(scope="module")
def config(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman("image", "inspect", image))[0]
    return found


@pytest.fixture
def pod(image: str, tmp_path: Path) -> Iterator[Pod]:
    with postgresql(tmp_path) as url:
        pod = Pod("tasks-service-test-pod", tmp_path, url)
        pod.remove()
        yield pod
        pod.remove()


def test_it_adds_little_to_its_base(config: dict[str, Any]) -> None:
    base = json.loads(podman("image", "inspect", BASE))[0]["Size"]

    assert config["Size"] - base <= SIZE_BEYOND_BASE_BYTES


def test_one_unprivileged_process_takes_the_signals(config: dict[str, Any]) -> None:
    settings = config["Config"]

    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["python", "-m", "service"]
    assert settings["Cmd"] == ["serve"]
    assert settings["StopSignal"] in {"SIGTERM", "15"}


def test_labels_say_what_it_was_built_from(config: dict[str, Any]) -> None:
    commit = succeed("git", "rev-parse", "HEAD").strip()
    labels = config["Config"]["Labels"]

    assert labels["org.opencontainers.image.revision"] == commit
    assert labels["org.opencontainers.image.title"] == "tasks-service"
    assert f"TASKS_SERVICE_COMMIT={commit}" in config["Config"]["Env"]


@pytest.mark.parametrize("command", ["pip", "pip3", "gcc", "cc", "make", "git", "curl"])
def test_nothing_is_in_it_to_build_or_download_with(image: str, command: str) -> None:
    found = podman("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", f"command -v {command} || echo none")

    assert found == "none"


def test_no_module_pip_is_left(image: str) -> None:
    finder = "import importlib.util as u; print([n for n in ('pip', 'ensurepip') if u.find_spec(n)])"

    assert podman("run", "--rm", "--entrypoint", "python", image, "-c", finder) == "[]"
    assert podman("run", "--rm", "--entrypoint", "/usr/local/bin/python3", image, "-c", finder) == "[]"


def test_everything_is_compiled_already(image: str) -> None:
    finder = (
        "import pathlib, service; root = pathlib.Path(service.__file__).parent; "
        "print(sum(1 for f in root.rglob('*.py') if not list((f.parent / '__pycache__').glob(f.stem + '.*.pyc'))))"
    )

    assert podman("run", "--rm", "--read-only", "--entrypoint", "python", image, "-c", finder) == "0"


def test_the_pod_migrates_serves_a_user_and_drains(pod: Pod) -> None:
    assert "applied 1_" in pod.init()
    assert "nothing to apply" in pod.init(), "every pod runs it again"
    pod.start()
    assert pod.probe("livenessProbe")

    # What `helm test` runs, from the same image.
    script = f"{CHART / 'files' / 'acceptance.py'}:/test/acceptance.py:ro"
    options = ["--rm", "--read-only", "--user", "10001", "--network", "host", "--volume", script]
    arguments = ["/test/acceptance.py", pod.url, pod.admin_url]
    printed = podman("run", *options, "--entrypoint", "python", IMAGE, *arguments)
    assert "stale If-Match: ok" in printed

    pod.terminate()
    asked = time.monotonic()
    time.sleep(1)
    assert not pod.probe("readinessProbe"), "unready within a second of SIGTERM"
    assert pod.wait() == 0
    assert time.monotonic() - asked < EXIT_SECONDS


def test_without_migrations_it_does_not_start(pod: Pod) -> None:
    with pytest.raises(AssertionError, match="migrate upgrade"):
        pod.start()
