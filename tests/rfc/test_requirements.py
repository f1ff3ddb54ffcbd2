"""The list of requirements beside this file: none without a test or a reason, and no test that does not exist."""

import ast
import re

import pytest

from tests.support.database import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "tests/rfc/requirements.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| section"))
]
EXCUSE = re.compile(r"\*not (?:kept|applicable)\*: .{20,}")


def collect() -> dict[str, str]:
    """The text of the file of every test, by the test's name."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = text
    return found


TESTS = collect()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1][:60]}")
def test_a_requirement_is_shown_by_tests_or_has_a_reason_not_to_be(row: list[str]) -> None:
    section, words, shown = row
    assert section
    assert words
    named = re.findall(r"`(test_\w+)(?:\[([^\]]+)\])?`", shown)
    assert named or EXCUSE.match(shown)
    for name, case in named:
        assert name in TESTS, f"there is no {name}"
        assert not case or f'"{case}"' in TESTS[name], f"{name} has no case {case!r}"


def test_there_is_a_list() -> None:
    assert len(ROWS) > 90
