# ruff: noqa: INP001  a script that the chart puts into a ConfigMap, in no package
"""What `helm test` runs: one user's way through the service, as a client in the cluster sees it.

Standard library only, since it runs in the service's own image. Arguments: URL of the API, URL of the admin port.
"""

import json
import sys
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_SECONDS = 10


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    def __init__(self, base: str, token: str | None = None) -> None:
        self.base = base.rstrip("/")
        self.token = token

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.base + path, data=data, method=method)  # noqa: S310  the URL is an argument of the test
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  as above
                return Answer(response.status, response.headers, response.read().decode())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())


def expect(what: str, answer: Answer, status: int) -> Answer:
    verdict = "ok" if answer.status == status else f"expected {status}, got {answer.status}: {answer.text[:500]}"
    sys.stdout.write(f"{what}: {verdict}\n")
    if answer.status != status:
        raise SystemExit(1)
    return answer


def sign_up(base: str) -> tuple[Client, str]:
    """A new user, and the path of their tasks."""
    email = f"helm-test-{uuid.uuid4().hex}@example.com"
    password = uuid.uuid4().hex
    body = {"email": email, "password": password, "name": "helm test"}
    session = expect("sign up", Client(base).call("POST", "/api/auth/signup", body), 201).json()
    return Client(base, session["access_token"]), f"/api/{session['user']['id']}/tasks"


def requests_counted(admin: Client) -> float:
    """How many requests the service's histogram has seen; several pods may take turns to answer."""
    lines = expect("metrics", admin.call("GET", "/metrics"), 200).text.splitlines()
    prefix = "http_request_duration_seconds_count"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(prefix))


def main(base: str, admin_base: str) -> None:
    admin = Client(admin_base)
    expect("ready", admin.call("GET", "/readyz"), 200)

    alice, tasks = sign_up(base)
    created = expect("create", alice.call("POST", tasks, {"title": "Water the plants"}), 201)
    path = f"{tasks}/{created.json()['id']}"
    stale = created.headers["ETag"]
    listed = expect("list", alice.call("GET", tasks), 200).json()
    if [task["id"] for task in listed] != [created.json()["id"]]:
        raise SystemExit(f"the list is not the one task that was created: {listed}")

    expect("complete", alice.call("PATCH", f"{path}/complete", If_Match=stale), 200)
    expect("stale If-Match", alice.call("PUT", path, {"title": "Too late"}, If_Match=stale), 412)

    mallory, others = sign_up(base)
    expect("path of another user", mallory.call("GET", path), 403)
    expect("task of another user", mallory.call("GET", f"{others}/{created.json()['id']}"), 404)
    expect("no token", Client(base).call("GET", tasks), 401)

    if requests_counted(admin) <= 0:
        raise SystemExit("the metrics did not move")

    for user in (alice, mallory):
        expect("leave", user.call("DELETE", "/api/auth/me"), 204)


if __name__ == "__main__":
    main(*sys.argv[1:3])
