"""What was acknowledged, what is there, and what the followers have: compared at the end."""

import http.client
import time
from collections import Counter
from typing import Any

from .client import Client, User
from .follower import Follower
from .writer import Written

SETTLE_SECONDS = 30.0
AGAIN_SECONDS = 0.5


def stored(base: str, user: User) -> list[dict[str, Any]]:
    """All tasks of the list, page by page. Raises OSError and HTTPException where they cannot be had."""
    client = Client(base)
    authorization, path, found = user.log_in(client), f"{user.tasks}?limit=500", []
    while path:
        answer = client.send("GET", path, Authorization=authorization)
        if answer.status != http.client.OK:
            raise ConnectionError(answer.status)
        found += answer.json()
        path = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
    return found


def compare(found: list[dict[str, Any]], written: list[Written]) -> dict[str, list[str]]:
    """`lost`: acknowledged and not there, or not as it was acknowledged. `twice`: there more often than asked for."""
    by_id = {task["id"]: task for task in found}
    titles = Counter(task["title"] for task in found)
    lost, twice = [], [title for title, times in titles.items() if times > 1]
    for process in written:
        for task_id, title in process.titles.items():
            task = by_id.get(task_id)
            if task_id in process.deleted:
                lost += [f"deletion of {title}"] if task else []
            elif task is None or task["title"] != title:
                lost.append(title)
            elif task["completed"] != process.completed[task_id]:
                (twice if process.completed[task_id] else lost).append(f"{title} completed")
    return {"lost": lost, "twice": twice}


def settled(base: str, user: User, follower: Follower | None) -> tuple[list[dict[str, Any]], list[str]]:
    """The list, once the follower has all of it, and where they differ when it never does."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            found = stored(base, user)
        except (OSError, http.client.HTTPException):  # what was broken may still be
            if time.monotonic() > deadline:
                raise
            time.sleep(AGAIN_SECONDS)
            continue
        if follower is None:
            return found, []
        listed = {task["id"]: task for task in found}
        copy = dict(follower.copy)
        differing = [key for key in listed.keys() | copy.keys() if listed.get(key) != copy.get(key)]
        if not differing or time.monotonic() > deadline:
            return found, differing
        time.sleep(AGAIN_SECONDS)


def union(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that overlap as one."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def report(
    users: list[User], followers: list[Follower], written: list[Written], base: str, began_at: float, *, streams: bool
) -> dict[str, Any]:
    """`written` has the processes of each user side by side; `streams` says whether there still are any at the end."""
    each = len(written) // len(users)
    found: dict[str, list[str]] = {"lost": [], "twice": [], "stream_differs": [], "stream_twice": []}
    for number, (user, follower) in enumerate(zip(users, followers, strict=True)):
        listed, differing = settled(base, user, follower if streams else None)
        for name, entries in compare(listed, written[number * each : (number + 1) * each]).items():
            found[name] += entries
        found["stream_differs"] += differing
        found["stream_twice"] += follower.twice()
    outages = union([outage for process in written for outage in process.outages])
    failures = Counter(failure for process in written for _, failure in process.failures)
    return {
        "requests": sum(process.requests for process in written),
        "acknowledged": sum(len(process.titles) for process in written),
        "errors": dict(failures),
        "error_seconds": round(sum(end - start for start, end in outages), 2),
        "outages": [[round(start - began_at, 1), round(end - began_at, 1)] for start, end in outages],
        "longest_error_seconds": round(max((end - start for start, end in outages), default=0.0), 2),
        **found,
        "stale_reads": [entry for process in written for entry in process.stale_reads],
        "refused": [entry for process in written for entry in process.refused],
        "events": sum(sum(follower.seen.values()) for follower in followers),
        "streams": sum(follower.streams for follower in followers),
        "stream_failures": dict(sum((follower.failures for follower in followers), Counter())),
    }
