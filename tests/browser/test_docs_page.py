"""The page at /docs, used as a visitor would, in a real browser."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.support.server import Service
from tests.support.tools import tool
from tests.support.users import PASSWORD, User, new_email

# What a browser does on its own account would be taken for the page's doing, and some of it fails as root.
_FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
]
_TIMEOUT_MS = 30_000  # the browser shares its processors with the rest of the suite


class Visit:
    """An open page and everything it asked for and complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("console", lambda message: self._heard(message.type, message.text))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def operation(self, path: str) -> Locator:
        """Unfolds `POST path`."""
        found = self.page.locator(".opblock-post", has=self.page.locator(f'[data-path="{path}"]'))
        found.locator(".opblock-summary-control").click()
        return found

    def authorise(self, token: str) -> None:
        self.page.get_by_role("button", name="Authorize", exact=True).click()
        dialog = self.page.locator(".dialog-ux")
        dialog.get_by_role("textbox").fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        expect(dialog.get_by_text("Authorized", exact=True)).to_be_visible()
        dialog.get_by_role("button", name="Close").first.click()


def execute(operation: Locator, body: dict[str, Any]) -> tuple[str, Any]:
    """The status that the page shows, and the answer's body."""
    operation.locator("textarea.body-param__text").fill(json.dumps(body))
    with operation.page.expect_response(lambda response: response.request.method == "POST") as response:
        operation.get_by_role("button", name="Execute").click()
    shown = operation.locator(".live-responses-table .response-col_status")
    return shown.last.inner_text().strip(), response.value.json()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = tool("chromium")
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    page = browser.new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    visit = Visit(page)
    page.goto(f"{service.url}/docs")
    yield visit
    page.close()


def test_a_visitor_signs_up_authorises_and_creates_a_task(visit: Visit, service: Service) -> None:
    status, session = execute(visit.operation("/api/auth/signup"), {"email": new_email(), "password": PASSWORD})
    assert status == "201"
    visit.authorise(session["access_token"])
    creation = visit.operation("/api/{user_id}/tasks")
    creation.locator('tr[data-param-name="user_id"] input').fill(session["user"]["id"])
    status, task = execute(creation, {"title": "buy milk"})

    assert status == "201"
    with User(service.url, session) as user:
        assert user.list() == [task]
    assert visit.complaints == []
    assert [url for url in visit.requests if not re.match(rf"{re.escape(service.url)}/|data:", url)] == []


def test_the_page_forgets_the_token_when_it_is_left(visit: Visit) -> None:
    visit.authorise("a token that is worth nothing")
    visit.page.reload()
    expect(visit.page.get_by_role("button", name="Authorize", exact=True)).to_have_class(re.compile("unlocked"))
    assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert visit.complaints == []


def test_injected_code_and_styles_do_not_run(visit: Visit) -> None:
    violated = visit.page.evaluate("""() => new Promise((resolve) => {
        const violated = [];
        document.addEventListener("securitypolicyviolation", (event) => {
            violated.push(event.effectiveDirective);
            if (violated.length === 3) resolve(violated.sort());
        });
        document.body.append(Object.assign(document.createElement("script"), { textContent: "document.title = ''" }));
        document.body.append(Object.assign(document.createElement("style"), { textContent: "body { display: none }" }));
        fetch("https://elsewhere.example/").catch(() => {});
    })""")
    assert violated == ["connect-src", "script-src-elem", "style-src-elem"]
    expect(visit.page).to_have_title("Tasks API")
    expect(visit.page.locator("body")).to_be_visible()
    assert any("Content Security Policy" in text for text in visit.complaints), "the tests above see no violation"
