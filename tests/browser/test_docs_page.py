"""The page at /docs, used as a visitor would, in a real browser."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.support.chromium import Visit, chromium
from tests.support.server import Service
from tests.support.users import PASSWORD, User, new_email


class DocsVisit(Visit):
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
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[DocsVisit]:
    visit = DocsVisit(browser.new_page())
    visit.page.goto(f"{service.url}/docs")
    yield visit
    visit.page.close()


def test_a_visitor_signs_up_authorises_and_creates_a_task(visit: DocsVisit, service: Service) -> None:
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


def test_the_page_forgets_the_token_when_it_is_left(visit: DocsVisit) -> None:
    visit.authorise("a token that is worth nothing")
    visit.page.reload()
    expect(visit.page.get_by_role("button", name="Authorize", exact=True)).to_have_class(re.compile("unlocked"))
    assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert visit.complaints == []


def test_injected_code_and_styles_do_not_run(visit: DocsVisit) -> None:
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
