"""`tasks-service dev`: a database, its migrations and a server that restarts when the code changes."""

import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from watchfiles import PythonFilter, watch

from service.database.embedded import die_with, embedded_postgres

DATA = Path(".data")
SERVICE = Path(__file__).resolve().parent


def run() -> int:
    """Until Ctrl-C; returns the exit status. Raises EmbeddedError."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    DATA.mkdir(exist_ok=True)
    env = {**os.environ, "LOG_FORMAT": os.environ.get("LOG_FORMAT", "console"), "DRAIN_SECONDS": "0"}
    env.setdefault("JWT_SECRET", _secret())
    with ExitStack() as stack:
        try:
            if not env.get("DATABASE_URL") and not env.get("DATABASE_URL_FILE"):
                server = stack.enter_context(embedded_postgres(DATA / "postgres"))
                server.create_database("tasks")
                env["DATABASE_URL"] = server.url()
            return _serve(env)
        except KeyboardInterrupt:
            return 0


def _serve(env: dict[str, str]) -> int:
    command = [sys.executable, "-m", "service"]
    migrated = subprocess.run([*command, "migrate", "upgrade"], env=env, check=False).returncode  # noqa: S603
    if migrated:
        return migrated
    _greet(env)
    changes = watch(SERVICE, watch_filter=PythonFilter(), yield_on_timeout=True, rust_timeout=500, raise_interrupt=True)
    first = process = _start(command, env)
    try:
        for changed in changes:
            if changed:
                _stop(process)
                process = _start(command, env)
            elif process is first and process.poll():
                return process.returncode  # later ones may fail: the next change will mend it
    finally:
        _stop(process)
    return 0


def _start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own, so that a Ctrl-C is for us; and it ends with us, even when we are killed."""
    return subprocess.Popen(  # noqa: S603
        [*command, "serve"],
        env=env,
        start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  before any thread of ours could hold a lock
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait()


def _secret() -> str:
    """One that stays the same from run to run, so that tokens do too."""
    path = DATA / "jwt_secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()


def _greet(env: dict[str, str]) -> None:
    base = f"http://127.0.0.1:{env.get('PORT') or 8000}"
    body = '{"email":"ada@example.com","password":"correct horse"}'
    print(  # noqa: T201  this is for the person at the terminal
        f"\n  API   {base}\n  docs  {base}/docs\n  try   curl -s {base}/api/auth/signup"
        f" -H 'Content-Type: application/json' -d '{body}'\n",
        flush=True,
    )
