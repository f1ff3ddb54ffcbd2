"""Whoever silences a checker says why, on the same line."""

import re
import tokenize
from pathlib import Path

import pytest

from tests.support.database import ROOT

FOLDERS = ("service", "tests", "loadtests", "helm", "k8s", "make", "migrations/models", "docs/examples")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

SILENCED = re.compile(r"#\s*(?:ruff:\s*)?noqa\b|#\s*type:\s*ignore\b|#\s*mypy:|#\s*nosec\b|#\s*pragma:")
WITH_REASON = re.compile(
    r"#\s*(?:ruff:\s*)?noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)*  \S.*|#\s*type: ignore\[[a-z, -]+\]  # \S.*"
)


def silent(line: str) -> bool:
    """Whether a comment silences a checker and gives no reason, or does not say which rule it means."""
    return SILENCED.search(line) is not None and WITH_REASON.search(line) is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_silences_a_checker_says_why(path: Path) -> None:
    with path.open("rb") as source:
        comments = [token for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT]
    without = [f"{path.relative_to(ROOT)}:{token.start[0]}" for token in comments if silent(token.string)]
    assert not without, f"write `# noqa: CODE  why`, or `# type: ignore[code]  # why`: {without}"


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: S608",
        "#noqa: S608",
        "# ruff: noqa",
        "# ruff: noqa: INP001",
        "# type: ignore",
        "# type: ignore[misc]",
        "# type: ignore  # why",
        "# nosec",
    ],
)
def test_a_silence_without_a_reason_is_seen(comment: str) -> None:
    assert silent(comment)


@pytest.mark.parametrize("comment", ["# noqa: S608  fixed text", "# type: ignore[misc]  # asyncpg ships no types"])
def test_a_reason_is_seen(comment: str) -> None:
    assert not silent(comment)
