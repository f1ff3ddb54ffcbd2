"""The program: BASE_URL [--seconds N] [--users N] [--writers N] [--stop FILE]. Prints one line of JSON at its end."""

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .client import Client, User
from .follower import Follower
from .verdict import report
from .writer import write


def main() -> int:
    options = _options()
    stop = Path(options.stop)
    stop.unlink(missing_ok=True)
    users = [User.sign_up(options.base) for _ in range(options.users)]
    followers = [Follower(options.base, user) for user in users]
    for follower in followers:
        follower.start()
    count = options.users * options.writers
    with ProcessPoolExecutor(count) as processes:
        writers = [
            processes.submit(write, options.base, users[number // options.writers], f"w{number}", str(stop))
            for number in range(count)
        ]
        began_at = time.time()
        sys.stdout.write("writing\n")
        sys.stdout.flush()
        deadline = time.monotonic() + options.seconds
        while not stop.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        stop.touch()
        written = [writer.result() for writer in writers]
    found = report(users, followers, written, options.base, began_at, streams=options.streams == "on")
    for user in users:
        user.leave(Client(options.base))
    sys.stdout.write(json.dumps(found) + "\n")
    wrong = ("lost", "twice", "stream_differs", "stream_twice", "stale_reads", "refused")
    return 1 if any(found[name] for name in wrong) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ledger", description=sys.modules[__package__ or ""].__doc__)
    parser.add_argument("base", metavar="BASE_URL")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it writes at the most")
    parser.add_argument("--users", type=int, default=2)
    parser.add_argument("--writers", type=int, default=2, help="processes of each user")
    parser.add_argument(
        "--stop", default=str(Path(tempfile.gettempdir()) / "ledger-stop"), help="ends it when it appears"
    )
    parser.add_argument("--streams", choices=("on", "off"), default="on", help="off: at the end there are none")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
