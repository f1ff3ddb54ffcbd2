"""What the service uses of libraries beyond their documentation: an upgrade may change it without a word.

After such a failure: read the library's new source beside the module that is named, adapt that, and then this list.
"""

import ast
import hashlib
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.database import ROOT

HTTP = "sanic.http.http1.Http"
PROTOCOL = "sanic.server.protocols.http_protocol.HttpProtocol"
CLIENT = "tortoise.backends.asyncpg.client.AsyncpgDBClient"
BOUND = "tortoise.backends.asyncpg.client.TransactionWrapper"
HISTOGRAM = "prometheus_client.metrics.Histogram"


@dataclass(frozen=True)
class Part:
    """Attributes of a class or a module, or parameters of a function, that one of our modules relies on."""

    owner: str
    names: str
    used_by: str

    def each(self) -> list[str]:
        return self.names.split()


PARTS = (
    Part(
        HTTP,
        "HEADER_MAX_SIZE http1 init_for_request http1_request_header http1_response_header error_response protocol"
        " stage keep_alive request request_body request_bytes_left response response_func response_size exception"
        " head_only upgrade_websocket expecting_continue recv_buffer _send",
        "http/exchange.py",
    ),
    Part(
        HTTP,
        "HEADER_MAX_SIZE init_for_request http1_request_header read protocol stage keep_alive request request_body"
        " request_bytes request_bytes_left expecting_continue recv_buffer _send _receive_more",
        "http/framing.py",
    ),
    Part(
        HTTP,
        "request_max_size request_bytes_left request_body recv_buffer keep_alive expecting_continue",
        "http/requests.py",
    ),
    Part(HTTP, "protocol exception response", "http/observer.py"),
    Part(HTTP, "stage exception request", "http/protocol.py"),
    Part("sanic.http.stream.Stream", "request_max_size", "http/requests.py"),
    Part("sanic.http.http1", "HTTP_CONTINUE", "http/framing.py"),
    Part("sanic.http.Stage", "IDLE REQUEST HANDLER RESPONSE", "http/exchange.py"),
    Part("sanic.models.server_types.ConnInfo", "lost", "http/exchange.py"),
    Part("sanic.request.Request", "stream head receive_body", "http/requests.py"),
    Part(
        PROTOCOL,
        "HTTP_CLASS app loop transport recv_buffer request_handler request_timeout response_timeout keep_alive_timeout"
        " connections connection_made connection_lost conn_info data_received check_timeouts"
        " pause_writing resume_writing _setup _http _task _time _data_received _can_write _callback_check_timeouts",
        "http/protocol.py",
    ),
    Part("sanic.app.Sanic.create_server", "return_asyncio_server", "lifecycle.py"),
    Part(
        "sanic.server.async_server.AsyncioServer",
        "startup before_start start_serving after_start close connections",
        "lifecycle.py",
    ),
    Part("sanic.config.Config", "TOUCHUP AUTO_EXTEND", "admin.py"),
    Part(
        PROTOCOL,
        "loop transport connection_made data_received check_timeouts _http _task _callback_check_timeouts",
        "admin.py",
    ),
    Part("asyncpg.connection.Connection", "_cancel_current_command _top_xact _transport", "database/connection.py"),
    Part("asyncpg.pgproto.pgproto", "UUID", "identifiers.py"),
    Part(
        CLIENT,
        "create_connection acquire_connection connection_name extra _pool _close _in_transaction",
        "database/orm.py",
    ),
    Part(BOUND, "acquire_connection _in_transaction", "database/orm.py"),
    Part(BOUND, "_parent", "database/indexes.py"),
    Part("tortoise.connection.ConnectionHandler", "get set reset", "database/orm.py"),
    Part("tortoise.models.Model", "_meta", "database/orm.py"),
    Part("tortoise.models.MetaInfo", "db_table", "database/orm.py"),
    Part("tortoise.Tortoise.init", "_enable_global_fallback", "lifecycle.py"),
    Part("aerich.Command", "init upgrade downgrade", "database/migrate.py"),
    Part("aerich.Command.downgrade", "version delete", "database/migrate.py"),
    Part("aerich.models.Aerich", "version app", "database/migrate.py"),
    Part("aerich.Command.init", "offline", "database/drift.py"),
    Part("aerich.Command.migrate", "no_input offline", "database/drift.py"),
    Part(HISTOGRAM, "observe _metric_init _sum _buckets _upper_bounds", "telemetry/histogram.py"),
    Part("jwt.PyJWK", "algorithm_name", "accounts/external.py"),
    Part("jwt.algorithms", "get_default_algorithms", "accounts/keys.py"),
)

WHOLLY_INTERNAL = (HTTP, PROTOCOL, CLIENT, BOUND)
"""Documented nowhere: whatever a subclass of ours uses of them is a private part."""

REWRITTEN = {
    (HTTP, "http1"): ("http/exchange.py", "9a02d0e6c847"),
    (HTTP, "http1_response_header"): ("http/exchange.py", "67a744c6ca89"),
    (HTTP, "init_for_request"): ("http/exchange.py", "8f61414d3034"),
    (HTTP, "http1_request_header"): ("http/framing.py", "bb10805de3fd"),
    (HTTP, "read"): ("http/framing.py", "a6d907277d3d"),
    ("sanic.request.Request", "receive_body"): ("http/requests.py", "0e7e742f82ea"),
    (PROTOCOL, "connection_task"): ("http/protocol.py", "7fdb0b73f600"),
    (PROTOCOL, "check_timeouts"): ("http/protocol.py", "e60a4b6f8102"),
    (PROTOCOL, "connection_made"): ("http/protocol.py", "17319612fd4c"),
    (PROTOCOL, "connection_lost"): ("http/protocol.py", "09bed8709802"),
    (PROTOCOL, "data_received"): ("http/protocol.py", "7d287cf5c938"),
    (CLIENT, "create_connection"): ("database/orm.py", "c17c476c4cd3"),
    (CLIENT, "_close"): ("database/orm.py", "6b2ffb92cf5b"),
    (CLIENT, "_in_transaction"): ("database/orm.py", "d449e1fa4a1f"),
    ("asyncpg.connection.Connection", "_cancel_current_command"): ("database/connection.py", "97b11c5dd361"),
    ("aerich.Command", "upgrade"): ("database/migrate.py", "06896ee9893d"),
    ("aerich.Command", "downgrade"): ("database/migrate.py", "32182e32354a"),
    (HISTOGRAM, "_metric_init"): ("telemetry/histogram.py", "4cc84843f623"),
    (HISTOGRAM, "observe"): ("telemetry/histogram.py", "dbb6e4c97d4c"),
}
"""What ours takes the place of, or has to stay in step with; with the first digits of its source's SHA-256."""


def found(dotted: str) -> Any:
    """The module, the class or the function of that name. Raises AttributeError or ImportError."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        parent, _, name = dotted.rpartition(".")
        if not parent:
            raise
        return getattr(found(parent), name)


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def definition(kind: type) -> ast.ClassDef | None:
    """As it was written: Sanic rewrites its classes when a server starts."""
    try:
        path = inspect.getsourcefile(kind)
    except TypeError:  # built in
        path = None
    if path is None or not path.endswith(".py"):
        return None
    nodes = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))
    return next((node for node in nodes if node.name == kind.__name__), None)


@cache
def attributes(kind: type) -> frozenset[str]:
    """Of its own: methods, slots, and what its methods set on `self`."""
    names = {name for name in vars(kind) if not name.startswith("__")}
    written = definition(kind)
    for node in ast.walk(written) if written is not None else ():
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)


def has(owner: Any, name: str) -> bool:
    if isinstance(owner, type):
        fields = getattr(getattr(owner, "_meta", None), "fields_map", ())  # of a Tortoise model
        return hasattr(owner, name) or name in fields or any(name in attributes(kind) for kind in owner.__mro__)
    if isinstance(owner, ModuleType):
        return hasattr(owner, name)
    return name in inspect.signature(owner).parameters


def fingerprint(owner: str, name: str) -> str:
    kind = found(owner)
    for base in kind.__mro__:
        written = definition(base)
        for node in written.body if written is not None else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                path = inspect.getsourcefile(base)
                assert path is not None
                text = ast.get_source_segment(Path(path).read_text(encoding="utf-8"), node)
                assert text is not None
                return hashlib.sha256(text.encode()).hexdigest()[:12]
    return "gone"


def library(owner: str) -> str:
    return owner.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.owner}-{part.used_by}")
def test_what_is_used_is_there(part: Part) -> None:
    try:
        owner = found(part.owner)
    except (AttributeError, ImportError):
        pytest.fail(f"{library(part.owner)} no longer has {part.owner}, which service/{part.used_by} relies on")
    lost = [name for name in part.each() if not has(owner, name)]
    assert not lost, f"{library(part.owner)}: {part.owner} has no {lost} any more; service/{part.used_by} relies on it"


@pytest.mark.parametrize(("owner", "name"), REWRITTEN, ids=lambda value: value.rpartition(".")[2])
def test_what_is_rewritten_is_as_it_was(owner: str, name: str) -> None:
    used_by, known = REWRITTEN[owner, name]
    now = fingerprint(owner, name)
    assert now == known, (
        f"{library(owner)} has changed {owner}.{name}, which service/{used_by} rewrites or has to stay in step with:"
        f" compare both, then write {now} here"
    )


# That the list is whole

SOURCES = sorted((ROOT / "service").rglob("*.py"))
DOCUMENTED = {"_exit", "_replace", "_asdict"}
"""Of Python itself, os and named tuples: underscored, and promised all the same."""

ACCESSORS = {"getattr", "setattr", "hasattr", "delattr"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(tree: ast.Module) -> Iterator[str]:
    """Read or written as attributes, passed by keyword, imported, or named to `getattr` and its like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.ImportFrom):
            yield from [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            yield from [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ACCESSORS:
            yield from [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def own_names(tree: ast.Module) -> set[str]:
    """What the module defines: functions, classes, parameters, attributes that it sets on `self`, slots."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def listed(path: Path) -> set[str]:
    here = path.relative_to(ROOT / "service").as_posix()
    return {name for part in PARTS if part.used_by == here for name in part.each()}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_part_is_used_that_is_not_listed(path: Path) -> None:
    tree = tree_of(str(path))
    foreign = {name for name in private_names(tree) if is_private(name)} - own_names(tree) - DOCUMENTED
    unlisted = foreign - listed(path)
    assert not unlisted, f"{sorted(unlisted)} belongs to somebody else: do without, or list it in PARTS"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_subclass_takes_a_private_part_that_is_not_listed(path: Path) -> None:
    """Here a private name that our class sets may well be its base's."""
    classes = [node for node in tree_of(str(path)).body if isinstance(node, ast.ClassDef) and node.bases]
    if not classes:
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    taken: set[str] = set()
    for node in classes:
        taken |= {name for name in used_of_itself(node) if is_theirs(getattr(module, node.name), name)}
    unlisted = taken - listed(path)
    assert not unlisted, f"{sorted(unlisted)} belongs to a library's class: do without, or list it in PARTS"


def used_of_itself(node: ast.ClassDef) -> set[str]:
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    reached = {
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute) and ast.unparse(item.value) in {"self", "super()"}
    }
    return methods | reached


def is_theirs(kind: type, name: str) -> bool:
    internal = any(issubclass(kind, found(owner)) for owner in WHOLLY_INTERNAL)
    bases = [base for base in kind.__mro__ if library(base.__module__) in LIBRARIES]
    return (internal or is_private(name)) and any(name in attributes(base) for base in bases)


LIBRARIES = {library(part.owner) for part in PARTS}
