"""What contributors are told and given is what `make` really has."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.database import ROOT

MAKEFILES = "\n".join(path.read_text() for path in (ROOT / "Makefile", *sorted(ROOT.glob("make/*.mk"))))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILES, re.MULTILINE)
    assert found is not None, target
    return found[1].replace("$(BIN)", ".venv/bin")


def test_every_hook_is_a_command_of_make_check() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = {line.strip().removeprefix("@") for line in recipe("check").splitlines()}
    assert {hook["entry"] for hook in hooks} == {line for line in checks if "ruff" in line or "mypy" in line}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_target_that_a_document_names_is_there(document: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILES, re.MULTILINE))
    named = re.findall(r"(?:^|`)make((?: [a-z][a-z0-9-]+)+)", document.read_text(), re.MULTILINE)
    assert {target for group in named for target in group.split()} <= targets
