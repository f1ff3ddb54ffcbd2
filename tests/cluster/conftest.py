"""A namespace for each module, and the release before this one."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.kube import GET_ONE, Namespace, namespace
from tests.support.database import ROOT

HERE = Path(__file__).parent
PREVIOUS = (HERE / "previous").read_text().strip()
"""The commit that stands for the release before this one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="module")
def space(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace that enforces Pod Security `restricted`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.exit(f"KUBECONFIG names no cluster; get one with: {GET_ONE}", returncode=1)
    with namespace(Path(request.module.__file__).stem.removeprefix("test_").replace("_", "-")) as made:
        yield made


@pytest.fixture(scope="session")
def previous_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of the release before this one."""
    folder = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(
        ["git", "archive", PREVIOUS, "helm/tasks-service"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.fail(f"{PREVIOUS} is not in this clone's history; get it with: git fetch --unshallow")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder / "helm" / "tasks-service"
