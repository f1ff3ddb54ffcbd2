"""The commands: `python -m service --help`, installed also as `tasks-service`."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import structlog

from service import __version__, ports
from service.database import migrate, revisions
from service.database.faults import DatabaseFault
from service.database.postgres_programs import EmbeddedError
from service.database.url import database_url
from service.environment import SettingsError, read
from service.telemetry import logs
from service.threads import any_unawaited

if TYPE_CHECKING:
    from sanic import Blueprint

BACKLOG = 4096
"""Connections that may wait to be accepted; Linux allows no more unless told to. Of those beyond it, the kernel drops
what they send, and their clients try again after seconds."""

log = structlog.get_logger()

Result = TypeVar("Result")


def main() -> None:
    arguments = _parser().parse_args()
    given, _ = read(os.environ, ("LOG_LEVEL", "LOG_FORMAT"))  # what is wrong with them, the settings will say
    logs.configure(given.get("LOG_LEVEL") or "info", given.get("LOG_FORMAT") or "json")
    try:
        sys.exit(arguments.run(arguments))
    except SettingsError as error:
        sys.exit("The configuration has mistakes:\n" + "\n".join(f"  {line}" for line in str(error).splitlines()))
    except (revisions.MigrationError, DatabaseFault, EmbeddedError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        logs.flush()  # before the interpreter prints what ended it


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`; SIGTERM ends it as any error does: what is open is closed, and the log is written."""
    asked_to_end = threading.Event()

    async def until_sigterm() -> Result:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  a coroutine that runs has one

        def end() -> None:
            asked_to_end.set()
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        try:
            return await work
        except asyncio.CancelledError:
            if asked_to_end.is_set():
                logs.flush()
                os._exit(128 + signal.SIGTERM)  # asyncio and the interpreter would wait for a resolver without answer
            raise

    return asyncio.run(until_sigterm())


def _serve(_: argparse.Namespace) -> int:
    return _run_server()


def _serve_with_example(arguments: argparse.Namespace) -> int:
    from service.example import example  # noqa: PLC0415  `serve` has nothing of it

    return _run_server(example(arguments.folder))


def _run_server(*more: "Blueprint") -> int:
    """With `more` beside the API."""
    import uvloop  # noqa: F401, PLC0415  without it an idle connection holds up SIGTERM: no server rather than such a one

    from service.app import create_app  # noqa: PLC0415  the other commands need no server
    from service.http.protocol import Protocol  # noqa: PLC0415  as above
    from service.lifecycle import STOP_SIGNALS, check_database  # noqa: PLC0415  as above
    from service.settings import load_settings  # noqa: PLC0415  as above

    settings = load_settings()
    _run(check_database(settings))
    logs.flush()
    listener = _listen(settings.host, settings.port, settings.admin_port)
    # Sanic loses a signal that comes before its loop runs for good, and would then serve on: Lifecycle waits for them
    # instead, in a thread. No other thread may take them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    app = create_app(settings, listener)
    for blueprint in more:
        app.blueprint(blueprint)
    # Sanic shows these, which Python 3.14 gives for its own way to uvloop, among our lines of JSON.
    warnings.filterwarnings("ignore", r"'asyncio\.[gs]et_event_loop_policy' is deprecated", DeprecationWarning)
    app.run(
        sock=listener,
        protocol=Protocol,
        single_process=True,
        register_sys_signals=False,
        access_log=False,
        motd=False,
        backlog=BACKLOG,
    )
    log.info("stopped")
    if any_unawaited():
        logs.flush()
        os._exit(0)
    return 0


def _listen(host: str, port: int, admin_port: int) -> socket.socket:
    """Raises SettingsError when a port cannot be had."""
    if refusals := ports.refusals(host, ADMIN_PORT=admin_port, PORT=port):
        raise SettingsError("\n".join(map(str, refusals)))
    return ports.bound(host, port)


def _dev(_: argparse.Namespace) -> int:
    try:
        from service import dev  # noqa: PLC0415  needs the extra `local`
    except ModuleNotFoundError as error:
        sys.exit(
            f"{error.name} is not installed; `make run` installs it, and so does pip install 'tasks-service[local]'"
        )
    return dev.run()


def _upgrade(_: argparse.Namespace) -> int:
    done = _run(migrate.upgrade(database_url()))
    _say("\n".join(f"applied {file}" for file in done) or "nothing to apply")
    return 0


def _downgrade(arguments: argparse.Namespace) -> int:
    done = _run(migrate.downgrade(database_url(), arguments.to))
    _say("\n".join(f"undone {file}" for file in done) or "nothing to undo")
    return 0


def _history(_: argparse.Namespace) -> int:
    found = _run(revisions.state(database_url()))
    known = sorted({*found.expected, *found.applied})
    _say("\n".join(f"{'applied' if r in found.applied else 'pending'}  {r.file}" for r in known))
    return 0


def _heads(_: argparse.Namespace) -> int:
    found = _run(revisions.state(database_url()))
    _say("\n".join(r.file for r in found.pending) or "no pending revision")
    return 0


def _check(_: argparse.Namespace) -> int:
    found = _run(revisions.state(database_url()))
    revisions.warn_ahead(found)
    if found.pending:
        _say("\n".join(f"missing {r.file}" for r in found.pending))
        return 1
    _say(f"at revision {found.applied_number}")
    return 0


def _drift(_: argparse.Namespace) -> int:
    from service.database.drift import drift  # noqa: PLC0415  it loads the models of all features

    drifted = drift()
    if drifted:
        _say(f"The models have changed since the last migration; it would have to do:\n{drifted}")
        return 1
    _say("models and migrations agree")
    return 0


def _openapi(_: argparse.Namespace) -> int:
    from service.api import document  # noqa: PLC0415  as above

    _say(orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode())
    return 0


def _say(text: str) -> None:
    """A command's answer, after all that it has logged."""
    logs.flush()
    try:
        print(text, flush=True)  # noqa: T201  it goes to standard output
    except BrokenPipeError:  # its reader has seen enough; the interpreter must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tasks-service", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        parent: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: object, text: str
    ) -> argparse.ArgumentParser:
        added = parent.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command(commands, "serve", _serve, "the server, one process")
    command(
        commands,
        "dev",
        _dev,
        "embedded PostgreSQL, migrations, and a server that restarts when the code changes",
    )
    text = "what `dev` runs: the server, and an example page beside it"
    shown = command(commands, "serve-with-example", _serve_with_example, text)
    shown.add_argument("folder", type=Path, help="that the page is in")
    command(commands, "openapi", _openapi, "print the OpenAPI document")
    migrations = commands.add_parser("migrate", help="bring the schema up or down").add_subparsers(
        required=True, metavar="ACTION"
    )
    command(migrations, "upgrade", _upgrade, "apply what the database lacks")
    down = command(migrations, "downgrade", _downgrade, "undo the last revision, newest first")
    down.add_argument("--to", type=int, metavar="N", help="undo all revisions above N; 0 undoes everything")
    command(migrations, "history", _history, "every revision, applied or pending")
    command(migrations, "heads", _heads, "the revisions that are pending")
    command(migrations, "check", _check, "exit 1 if the database lacks a revision of this build")
    command(migrations, "drift", _drift, "exit 1 if the models have changed without a migration")
    return parser


if __name__ == "__main__":
    main()
