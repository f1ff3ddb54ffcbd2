"""Keep a copy of a user's tasks and never miss a change: python follow.py BASE_URL USER_ID ACCESS_TOKEN."""

import json
import sys
import time
from typing import Any

import httpx


def main(base: str, me: str, token: str) -> None:  # noqa: C901  in one piece it reads best
    tasks: dict[str, Any] = {}
    path, since = f"/api/{me}/tasks/changes", ""  # whoever stores the tasks stores `since` with them
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30) as api:
        while True:
            try:
                page = api.get(path, params={"since": since} if since else {}).raise_for_status().json()
                for change in page["changes"]:
                    apply(change, tasks)
                since = page["next"]
                if page["more"]:
                    continue
                with api.stream("GET", path, headers={"Accept": "text/event-stream", "Last-Event-ID": since}) as stream:
                    for line in stream.raise_for_status().iter_lines():
                        if line.startswith("data: "):
                            apply(json.loads(line[6:]), tasks)
                        elif line.startswith("id: "):
                            since = line[4:]
            except httpx.TransportError:  # also a stream that breaks off: 30 s without a comment are too long
                pass
            except httpx.HTTPStatusError as refusal:
                if refusal.response.status_code == httpx.codes.UNAUTHORIZED:
                    raise  # log in again
                if refusal.response.status_code == httpx.codes.GONE:  # away for longer than the trash keeps anything
                    tasks, since = {}, ""
            time.sleep(1)


def apply(change: dict[str, Any], tasks: dict[str, Any]) -> None:
    if change["type"] == "task":
        tasks[change["task"]["id"]] = change["task"]
    else:
        tasks.pop(change["id"], None)
    print(json.dumps(sorted(task["title"] for task in tasks.values())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
