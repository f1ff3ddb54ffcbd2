"""What the statements say of themselves is what they do."""

import re
from importlib import import_module

import pytest

from service.database.statement import Statement
from tests.support.database import ROOT

WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|SET|set_config)\b")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "service").rglob("*.py"))
    if "Statement(" in path.read_text(encoding="utf-8") and path.name != "statement.py"
]
FOUND = [
    pytest.param(statement, id=f"{name}: {statement.operation}")
    for name in MODULES
    for statement in vars(import_module(name)).values()
    if isinstance(statement, Statement)
]


@pytest.mark.parametrize("statement", FOUND)
def test_a_statement_reads_if_and_only_if_it_writes_nothing(statement: Statement) -> None:
    """Only reads are repeated after a lost connection, and rows of others are taken for a commit that was answered."""
    assert statement.reads is not bool(WRITES.search(statement.sql))


def test_there_are_statements() -> None:
    assert len(FOUND) > 20
