"""Whoever was written against the last release's description goes on working against this build's."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from service.api import document
from tests.support.database import ROOT
from tests.support.tools import run, tool

RELEASED = ROOT / "docs" / "released" / "openapi.json"
BREAKING = 1  # oasdiff's exit code

WANTED = {
    ("response-property-became-not-enum", "`code` response property"): (
        "codes are added: a list that was closed promised what nobody can keep; x-problem-codes has them now"
    ),
    ("response-property-became-optional", "`errors` became optional for the status `422`"): (
        "one type for all problems; `errors` is still there with each validation_error"
    ),
    ("response-property-const-removed", "`status` response property"): "the answer's status says the same",
}
"""Differences that break clients and are wanted: oasdiff's name of the check, a pattern of its text, and why.

Each stands in the changelog too. `make released` begins a new list: what nothing needs any more fails.
"""


def breaking(released: Path, now: Path) -> list[dict[str, Any]]:
    options = ["--flatten-allof", "--fail-on", "WARN", "--format", "json"]
    done = run(tool("oasdiff"), "breaking", *options, released, now)
    assert done.returncode in {0, BREAKING}, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    assert bool(found) == (done.returncode == BREAKING)
    return found


def test_nothing_breaks_a_client_but_what_is_wanted(tmp_path: Path) -> None:
    now = tmp_path / "openapi.json"
    now.write_text(json.dumps(document()))
    seen, unwanted = set(), []
    for change in breaking(RELEASED, now):
        wanted = {(check, text) for check, text in WANTED if check == change["id"] and re.search(text, change["text"])}
        seen |= wanted
        if not wanted:
            unwanted.append(f"{change['operation']} {change['path']}: {change['text']} [{change['id']}]")
    assert unwanted == [], "docs/releasing.md says what to do"
    assert WANTED.keys() - seen == set(), "nothing needs these any more"


def _without_a_field(schemas: dict[str, Any]) -> None:
    del schemas["Task"]["properties"]["completed"]
    schemas["Task"]["required"].remove("completed")


def _with_a_required_field(schemas: dict[str, Any]) -> None:
    schemas["NewTask"]["required"].append("description")


def _with_a_stricter_rule(schemas: dict[str, Any]) -> None:
    schemas["NewTask"]["properties"]["title"]["maxLength"] = 5


def _with_another_value(schemas: dict[str, Any]) -> None:
    schemas["Priority"]["enum"].append("someday")


@pytest.mark.parametrize(
    "change", [_without_a_field, _with_a_required_field, _with_a_stricter_rule, _with_another_value]
)
def test_what_breaks_a_client_is_seen(change: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(document()))
    changed = deepcopy(document())
    change(changed["components"]["schemas"])
    after.write_text(json.dumps(changed))
    assert breaking(before, before) == []
    assert breaking(before, after)
