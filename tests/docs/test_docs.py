import json
import re
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import get_args

import pytest

from service import problems
from service.database.session import role_settings, role_sql
from service.settings import Settings
from service.telemetry.background_metrics import BackgroundTask
from tests.support.database import ROOT, Database
from tests.support.server import Service
from tests.support.users import User, sign_up

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]+?)`? \|", text, re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = "required" if field.is_required() or name == "jwt_secret" else _shown(field.default)
        assert rows[name.upper()].partition(" ")[0] == default, name


def test_what_a_role_carries_behind_a_pooler_is_in_the_documentation() -> None:
    block = re.search(r"```sql\n(ALTER ROLE.*?)```", (ROOT / "docs/scaling.md").read_text(), re.DOTALL)
    assert block is not None
    assert block[1].splitlines() == [f"{line};" for line in role_sql("tasks", role_settings(2.0))]


def _shown(default: object) -> str:
    if default in {None, ""}:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_task_beside_the_requests_stands_in_the_runbook_with_what_suffers() -> None:
    text = (ROOT / "docs/runbooks/TasksServiceBackgroundTaskFailing.md").read_text()
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(get_args(BackgroundTask))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_logs_of_all_pods_are_asked_for_whole(document: Path) -> None:
    """By a selector kubectl shows ten lines of each, in which nothing is found."""
    commands = re.findall(r"kubectl .*logs .*(?:-l|--selector) [^`\n]*", document.read_text())
    assert [command for command in commands if "--tail" not in command] == []


def test_the_curl_lines_of_the_readme_work_when_pasted(
    fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    service = start_service(fresh_database.url)
    block = re.search(r"```sh\n(BASE=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    done = subprocess.run(
        ["sh", "-eu"],
        input=block[1],
        env={"PATH": "/usr/bin:/bin", "BASE": service.url},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert '"title":"buy bread","description":"rye","completed":true' in done.stdout
    assert done.stdout.endswith("204\n")


def test_the_example_client_pages_polls_writes_and_retries(service: Service, user: User) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/examples/client.py", service.url, user.id, user.token],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "304 True 200 412\n"
    assert len(user.list()) == 1


def test_the_example_follower_misses_nothing(start_service: Callable[..., Service], service: Service) -> None:
    """Not what happened while its process was away either."""
    leaving = start_service()
    with sign_up(service.url) as user:
        tasks = [user.create(title) for title in ("one", "two")]
        command = [sys.executable, str(ROOT / "docs/examples/follow.py"), leaving.url, user.id, user.token]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            shown = follower.stdout
            assert [shown.readline() for _ in tasks] == ['["one"]\n', '["one", "two"]\n']
            user.create("th\u2028ree")
            assert shown.readline() == '["one", "th\\u2028ree", "two"]\n'
            leaving.stop()
            user.http.delete(user.path(tasks[0]))
            leaving.start()
            assert shown.readline() == '["th\\u2028ree", "two"]\n'
            user.create("four")
            assert shown.readline() == '["four", "th\\u2028ree", "two"]\n'
            follower.kill()


def test_the_example_follower_comes_back_after_any_error_but_a_401() -> None:
    """Also one of a proxy in between; after a 410, which a stream can be too, it starts again."""
    task = {"type": "task", "task": {"id": "1", "title": "one"}}
    page = {"changes": [task], "next": "token", "more": False}
    answers = iter([(502, {}), (200, page), (410, {}), (200, {**page, "changes": []}), (500, {}), (401, {})])
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path.partition("?")[2], self.headers["Last-Event-ID"]))
            status, body = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        command = [
            sys.executable,
            str(ROOT / "docs/examples/follow.py"),
            f"http://127.0.0.1:{server.server_port}",
            "me",
            "token",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        server.shutdown()
    assert "401" in done.stderr.splitlines()[-2]
    assert done.stdout == '["one"]\n'
    assert asked == [("", None), ("", None), ("", "token"), ("", None), ("", "token"), ("since=token", None)]


def test_the_readme_shows_the_example_client_as_it_is() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    example = (ROOT / "docs/examples/client.py").read_text()
    assert [line.strip() for line in shown[1].splitlines()] == [
        line.strip() for line in example.splitlines() if line.strip() and line.strip() in shown[1]
    ]


def test_codes_of_problems_are_unique() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, type) and issubclass(kind, problems.Problem)]
    codes = [kind.code for kind in kinds if kind is not problems.Problem]
    assert sorted(codes) == sorted(set(codes))
