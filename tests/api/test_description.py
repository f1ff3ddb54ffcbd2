"""The OpenAPI document is true: what it names can happen, and what can happen it names."""

import ast
import importlib
import pkgutil
from typing import Any

import httpx
import pytest

import service
from service import problems
from service.api import document
from service.description.openapi import HEADERS
from service.http.cors import REQUEST_HEADERS, RESPONSE_HEADERS
from service.problems import Problem
from service.tasks.model import DESCRIPTION_MAX, TITLE_MAX
from service.tasks.parameters import LIMIT_MAX
from tests.support.database import ROOT
from tests.support.problems import codes
from tests.support.users import User

NEVER_SENT = {"client_closed_request"}  # nobody is there to read it
ELSEWHERE = {"not_found", "method_not_allowed"}  # the answers to paths and methods that the document does not have
ABSTRACT = {"unauthenticated", "unavailable"}  # their subclasses are raised
DATABASE = {"database_unavailable", "database_timeout", "database_busy", "pool_exhausted", "schema_behind"}
WRITES = {"database_read_only", "database_full"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, found) for path, methods in document()["paths"].items() for method, found in methods.items()]


def named() -> set[str]:
    return {
        code
        for _, _, operation in operations()
        for status in operation["responses"]
        for code in codes(operation, int(status))
    }


def kinds(kind: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in kinds(sub))]


def test_every_problem_is_named_and_every_name_is_a_problem() -> None:
    for module in pkgutil.walk_packages(service.__path__, "service."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = {kind.code for kind in kinds() if kind.__module__.startswith("service.")}
    assert named() == ours - NEVER_SENT - ELSEWHERE - ABSTRACT


def test_every_problem_that_is_named_is_raised_somewhere() -> None:
    """Its class stands in an expression beyond the module that defines it and those that describe it."""
    used = {"Unexpected"}  # what translates all errors makes one of it
    for path in (ROOT / "service").rglob("*.py"):
        if path.name in ("problems.py", "openapi.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
    raised = {kind.code for kind in kinds() if kind.__name__ in used}
    assert named() - raised == set()


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=lambda value: str(value)[:40])
def test_a_503_names_all_that_it_may_be(method: str, path: str, operation: dict[str, Any]) -> None:
    expected = {"overloaded"}
    if path not in ("/openapi.json", "/.well-known/jwks.json"):
        expected |= DATABASE | (WRITES if method != "get" else set())
    if operation["security"]:
        expected.add("identity_provider_unavailable")
    if path.endswith("/changes"):
        expected.add("streams_full")
    assert codes(operation, 503) == expected


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=lambda value: str(value)[:40])
def test_a_412_belongs_to_conditions_that_can_be_given(method: str, path: str, operation: dict[str, Any]) -> None:
    """All of them in the head, or, of a batch, in each operation."""
    names = {parameter.get("$ref", "").rpartition("/")[2] for parameter in operation.get("parameters", ())}
    conditional = names & {"If-Match", "If-None-Match"}
    assert conditional in (set(), {"If-Match", "If-None-Match"})
    assert ("412" in operation["responses"]) == (bool(conditional) or path.endswith("/batch"))


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=lambda value: str(value)[:40])
def test_answers_describe_the_headers_that_they_need(method: str, path: str, operation: dict[str, Any]) -> None:
    needed = {"401": "WWW-Authenticate", "415": "Accept", "429": "Retry-After", "503": "Retry-After", "412": "ETag"}
    for status, answer in operation["responses"].items():
        assert {"X-Request-Id", "Date"} <= set(answer["headers"])
        if status in needed:
            assert needed[status] in answer["headers"], status
    assert ("401" in operation["responses"]) or not operation["security"]


def test_the_headers_of_answers_are_described(user: User, visitor: httpx.Client) -> None:
    """Beside those that HTTP itself and every server need."""
    plain = {"connection", "content-type", "content-length", "x-content-type-options", "content-security-policy"}
    created = user.http.post(user.tasks, json={"title": "x"})
    user.create()
    path = created.headers["location"]
    template = "/api/{user_id}/tasks"
    for answer, name in (
        (created, template),
        (user.http.get(user.tasks, params={"limit": 1}, headers={"Prefer": "count=exact"}), template),
        (user.http.get(user.tasks, headers={"If-None-Match": "*"}), template),
        (user.http.get(path), f"{template}/{{task_id}}"),
        (user.http.put(path, json={"title": "x"}), f"{template}/{{task_id}}"),
        (user.http.patch(f"{path}/complete"), f"{template}/{{task_id}}/complete"),
        (user.http.put(path, content=b"x"), f"{template}/{{task_id}}"),
        (user.http.get(f"{user.tasks}/changes"), f"{template}/changes"),
        (user.http.get(f"/api/{user.id}/trash"), "/api/{user_id}/trash"),
        (user.http.get(f"/api/{user.id}/labels"), "/api/{user_id}/labels"),
        (user.http.get(f"/api/{user.id}/labels", headers={"If-None-Match": "*"}), "/api/{user_id}/labels"),
        (user.http.get(f"/api/{user.id}/labels", headers={"If-Match": '"x"'}), "/api/{user_id}/labels"),
        (user.http.get("/api/auth/me"), "/api/auth/me"),
        (visitor.get("/api/auth/me"), "/api/auth/me"),
        (visitor.get("/openapi.json"), "/openapi.json"),
        (visitor.get("/.well-known/jwks.json"), "/.well-known/jwks.json"),
        (visitor.post("/api/auth/login", json={"email": "a", "password": "b"}), "/api/auth/login"),
    ):
        operation = document()["paths"][name][answer.request.method.lower()]
        described = {header.lower() for header in operation["responses"][str(answer.status_code)]["headers"]}
        assert set(answer.headers) - plain <= described, (answer.request.method, name, answer.status_code)


def test_limits_are_those_of_the_fields() -> None:
    task = document()["components"]["schemas"]["Task"]["properties"]
    new = document()["components"]["schemas"]["NewTask"]["properties"]
    assert task["title"]["maxLength"] == new["title"]["maxLength"] == TITLE_MAX
    assert task["description"]["maxLength"] == new["description"]["anyOf"][0]["maxLength"] == DESCRIPTION_MAX
    page = document()["paths"]["/api/{user_id}/tasks"]["get"]["responses"]["200"]["content"]["application/json"]
    assert page["schema"]["maxItems"] == LIMIT_MAX


def test_other_origins_may_send_and_see_all_that_is_described() -> None:
    safe = {"Cache-Control"}  # every page may read it
    assert set(HEADERS) - safe <= set(RESPONSE_HEADERS)
    parameters = {p["name"] for p in document()["components"]["parameters"].values() if p["in"] == "header"}
    assert parameters | {"Authorization", "Content-Type", "X-Request-Id"} <= set(REQUEST_HEADERS)


def test_a_problem_has_the_status_of_its_kind() -> None:
    for kind in kinds(problems.Retryable):
        assert kind.status == 503
