"""What make puts into this clone, and nothing else.

`install SET` makes .venv, `run SET` also becomes the service, and `clean` removes all that was made.

Standard library only: it runs before anything is installed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / ".installed.json"
MADE = (VENV, ROOT / ".tools", ROOT / ".data")
OWNER = ROOT / ".data" / "postgres.lock"
SETS = ("local", "dev", "dashboard")
"""Of packages, each on top of those before it."""

INTERRUPTED = 130
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-warn-script-location", "--progress-bar", "off")

State = dict[str, str]
"""Which folder and Python the environment is for, the digest of each set that is in it, and what is half done."""


def main() -> int:
    os.umask(0o022)
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if ending != signal.SIGHUP or signal.getsignal(ending) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(ending, signal.default_int_handler)
    try:
        os.chdir(ROOT)
        with _locked() as lock:
            if sys.argv[1] == "clean":
                _clean()
            else:
                _install(sys.argv[2], lock)
        if sys.argv[1] == "run":
            _run_service()
    except KeyboardInterrupt:
        _say("interrupted; the same command again does what is left to do")
        return INTERRUPTED
    except OSError as error:
        sys.exit(f"{error.filename or ROOT}: {error.strerror}")
    return 0


@contextmanager
def _locked() -> Iterator[int]:
    """One at a time in this clone. pip keeps the lock too: when we are killed, it may still be writing."""
    lock = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another make in this clone, which is installing into .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            _say("this file system has no locks: run one make at a time here")
        yield lock
    finally:
        os.close(lock)


def _install(wanted: str, lock: int) -> None:
    needed = SETS[: SETS.index(wanted) + 1]
    state = _state()
    if state is not None and all(state.get(name) == _digest(name) for name in needed):
        return
    if state is None or VENV.is_symlink():  # what a link leads to is another clone's
        state = _create(lock)
    for name in needed:
        if state.get(name) != _digest(name):
            _install_set(name, state, lock)


def _state() -> State | None:
    """None when there is no environment, or one that is half made, was copied here, or has lost its Python."""
    try:
        state: State = json.loads(STATE.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    usable = "unfinished" not in state and state.get("folder") == str(VENV.resolve())
    return state if usable and state.get("python") == _version() else None


def _version() -> str | None:
    """Of the environment's Python, which is none when the one that it was made from is gone."""
    code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _create(lock: int) -> State:
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info)
        sys.exit(
            f"This Python ({sys.executable}) cannot make virtual environments."
            f" On Debian or Ubuntu: apt-get install python{version}-venv. Or name another: make PYTHON=python3.x ..."
        )
    if os.pathsep in str(ROOT):
        sys.exit(f"No Python environment works in a folder with {os.pathsep!r} in its path: move {ROOT}")
    if VENV.is_dir() and not VENV.is_symlink() and any(VENV.iterdir()) and not _is_ours():
        sys.exit(f"{VENV} was not made by make: move it away, or let `make clean` remove it, and try again")
    _remove(VENV)
    _say(f"creating .venv with {sys.executable} (Python {sys.version.split()[0]}): a few seconds")
    VENV.mkdir()
    _write({"unfinished": "the environment itself"})
    # Not from an environment that is active now: the new one outlives it, or is that one.
    python = getattr(sys, "_base_executable", None) or sys.executable
    if not _run([python, "-m", "venv", VENV], lock):
        sys.exit("Python could not make .venv; what it says stands above")
    state = {"folder": str(VENV.resolve()), "python": "{}.{}".format(*sys.version_info)}
    _write(state)
    return state


def _is_ours() -> bool:
    return STATE.exists() or (VENV / ".local").exists()  # the latter is how it was marked before


def _install_set(name: str, state: State, lock: int) -> None:
    before = _packages()
    _write({**state, "unfinished": name})
    requirements = Path("requirements", f"{name}.txt")
    packages = sum("==" in line for line in requirements.read_text(encoding="utf-8").splitlines())
    _say(f"installing what {requirements} lists: {packages} packages, half a minute or so the first time")
    commands = [["--require-hashes", "-r", str(requirements)]]
    if name == "local":
        # The project itself, so that `tasks-service` exists; its dependencies come from the lock alone.
        commands.append(["--no-deps", "--no-build-isolation", "--editable", "."])
    if not all(_run([PYTHON, *PIP, *arguments], lock, packages) for arguments in commands):
        if _packages() == before:  # no network, for one: what was there before still works
            _write(state)
        sys.exit("pip could not install the dependencies; what it says stands above. Then the same command again")
    state[name] = _digest(name)
    _write(state)


def _packages() -> set[tuple[str, int]]:
    return {(path.name, path.lstat().st_mtime_ns) for path in VENV.glob("lib/python*/site-packages/*")}


def _digest(name: str) -> str:
    """Of what a set is made from."""
    sources = [f"requirements/{name}.txt", *(["pyproject.toml"] if name == "local" else [])]
    return hashlib.sha256(b"\0".join((ROOT / source).read_bytes() for source in sources)).hexdigest()


def _write(state: State) -> None:
    making = STATE.with_suffix(".making")
    making.write_text(json.dumps(state, indent=1))
    making.replace(STATE)


def _run(command: list[str | Path], lock: int, packages: int = 0) -> bool:
    """In a session of its own: a Ctrl-C is for us, and ends all that the command has started."""
    process = subprocess.Popen(
        command,
        pass_fds=[lock],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        _show_progress(process.stdout or (), packages)
        return process.wait() == 0
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _show_progress(lines: Iterable[str], packages: int) -> None:
    """How far pip is, on one line, where somebody looks on. What goes wrong it says past us."""
    begun = 0
    for line in lines:
        if line.startswith(("Collecting ", "Processing ")):  # by name, or a file in a folder of PIP_FIND_LINKS
            begun += 1
            _rewrite(f"  {begun} of {packages}: {Path(line.split()[1]).name}")
        elif line.startswith("Installing collected packages"):
            _rewrite("  unpacking them")
    _rewrite("")


def _rewrite(text: str) -> None:
    """The line that a terminal shows last."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)


def _run_service() -> None:
    """It takes signals once it has loaded: one in the middle of an import would be a traceback."""
    _say("starting the service: a few seconds")
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    os.execv(PYTHON, [str(PYTHON), "-m", "service", "dev"])  # noqa: S606  no shell, and no process in between


def _clean() -> None:
    """Not the database of a service that runs."""
    with OWNER.open("r+") if OWNER.exists() else nullcontext() as owner:
        if owner is not None:
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sys.exit(f"The database in .data is in use by {owner.read()}; stop that one first")
        for path in MADE:
            _remove(path)


def _remove(path: Path) -> None:
    """A link alone, never what it leads to. Renamed first, so that half of it is not taken for the whole."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    removing = path.with_name(f"{path.name}.removing")
    if removing.exists():
        shutil.rmtree(removing)
    if path.exists():
        path.rename(removing)
        shutil.rmtree(removing)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
