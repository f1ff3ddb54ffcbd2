"""The page of examples/web, used as people would, in a real browser: two windows, an outage, and what is refused."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, Locator, Page, Route, expect

from tests.support.chromium import Visit, chromium
from tests.support.database import ROOT, Database
from tests.support.server import Service
from tests.support.users import PASSWORD, User, client, new_email

EXAMPLE = ROOT / "examples" / "web"


def with_example(database: Database, **settings: str) -> Service:
    service = Service(database.url, settings)
    service.command = [sys.executable, "-m", "service", "serve-with-example", str(EXAMPLE)]
    service.start()
    return service


@pytest.fixture(scope="module")
def example(database: Database) -> Iterator[Service]:
    service = with_example(database)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile, whose windows share a session."""
    context = browser.new_context(viewport={"width": 760, "height": 260})
    yield context
    context.close()


class Window(Visit):
    def __init__(self, context: BrowserContext, service: Service) -> None:
        super().__init__(context.new_page())
        self.page.goto(f"{service.url}/example")

    def enter(self, how: str, email: str, password: str = PASSWORD) -> None:
        self.page.get_by_label("Email").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name=how).click()

    def add(self, title: str, *, labels: str = "", due_on: str = "") -> None:
        self.page.get_by_label("New task", exact=True).fill(title)
        self.page.get_by_label("Labels of the new task").fill(labels)
        self.page.get_by_label("Due day of the new task").fill(due_on)
        self.page.get_by_role("button", name="Add").click()

    def row(self, title: str) -> Locator:
        shown = self.page.get_by_role("list", name="Tasks").get_by_role("listitem")
        return shown.filter(has=self.page.locator(".title", has_text=re.compile(f"^{re.escape(title)}$")))

    def edit(self, title: str) -> Locator:
        self.row(title).get_by_role("button", name="Edit").click()
        return self.page.locator(".editor")

    def state(self) -> Locator:
        return self.page.get_by_role("status")

    def refusal(self) -> Locator:
        return self.page.get_by_role("alert")


def signed_up(context: BrowserContext, service: Service) -> Window:
    window = Window(context, service)
    window.enter("Sign up", new_email())
    expect(window.state()).to_have_text("live")
    return window


def user_of(window: Window, service: Service) -> User:
    """The same person, with a client of their own."""
    email = window.page.locator("#email").inner_text()
    with client(service.url) as http:
        return User(service.url, http.post("/api/auth/login", json={"email": email, "password": PASSWORD}).json())


def test_two_windows_show_each_others_changes(context: BrowserContext, example: Service) -> None:
    first = signed_up(context, example)
    second = Window(context, example)  # the same browser: logged in already
    expect(second.state()).to_have_text("live")

    first.add("buy milk", labels="home, shop", due_on="2030-02-28")
    expect(first.row("buy milk")).to_be_visible()
    first.add("write the report", labels="work", due_on="2020-01-01")
    expect(second.row("buy milk")).to_contain_text("2030-02-28")
    second.row("buy milk").get_by_role("checkbox").check()
    expect(first.row("buy milk").get_by_role("checkbox")).to_be_checked()
    draw(first.page)
    editor = first.edit("buy milk")
    editor.get_by_label("Title").fill("buy bread")
    editor.get_by_label("Description").fill("rye")
    editor.get_by_label("Labels").fill("shop")
    editor.get_by_label("Due").fill("")
    editor.get_by_role("button", name="Save").click()
    expect(second.row("buy bread")).not_to_contain_text("2030")
    second.page.get_by_role("button", name="shop 1").click()
    expect(second.row("write the report")).to_have_count(0)
    second.page.get_by_role("button", name="shop 1").click()

    first.page.locator("#trash summary").click()
    second.row("buy bread").get_by_role("button", name="Delete").click()
    trash = first.page.get_by_role("list", name="Trash").get_by_role("listitem")
    expect(trash).to_contain_text("buy bread")
    expect(first.row("buy bread")).to_have_count(0)
    trash.get_by_role("button", name="Restore").click()
    expect(second.row("buy bread")).to_be_visible()
    expect(trash).to_have_count(0)

    with user_of(first, example) as user:
        assert [(task["title"], task["completed"], task["labels"], task["due_on"]) for task in user.list()] == [
            ("write the report", False, ["work"], "2020-01-01"),
            ("buy bread", True, ["shop"], None),
        ]
    first.page.get_by_role("button", name="Log out").click()
    expect(second.page.get_by_role("button", name="Log in")).to_be_visible()
    expect(second.row("buy bread")).to_have_count(0)
    for window in (first, second):
        assert [text for text in window.complaints if "/tasks/changes" not in text] == []  # a stream that is left fails
        assert [url for url in window.requests if not re.match(rf"{re.escape(example.url)}/|data:", url)] == []


def draw(page: Page) -> None:
    """`make example-picture` puts what is on the screen now into the documents."""
    if picture := os.environ.get("EXAMPLE_PICTURE"):
        page.screenshot(path=Path(picture))


def test_it_goes_on_after_an_outage_and_what_is_sent_again_is_there_once(
    context: BrowserContext, database: Database
) -> None:
    service = with_example(database, JWT_ACCESS_TTL_SECONDS="11")  # which the page renews 10 s before it ends
    try:
        window = signed_up(context, service)
        window.add("before")
        expect(window.row("before")).to_be_visible()
        before = window.page.evaluate("localStorage.getItem('tasks-session')")
        service.stop()
        expect(window.state()).to_contain_text("connection lost")
        window.add("meanwhile")
        expect(window.refusal()).to_contain_text("The service cannot be reached")
        service.start()
        with user_of(window, service) as user:
            user.create("from elsewhere")
            expect(window.row("from elsewhere")).to_be_visible()
            expect(window.state()).to_have_text("live")
            lose_the_answer(window, "**/tasks")
            window.page.get_by_role("button", name="Add").click()
            expect(window.refusal()).to_contain_text("The service cannot be reached")
            expect(window.row("meanwhile")).to_be_visible()  # it did arrive, as the stream tells
            window.page.get_by_role("button", name="Add").click()
            expect(window.page.get_by_label("New task", exact=True)).to_have_value("")
            assert [task["title"] for task in user.list(sort="title")] == ["before", "from elsewhere", "meanwhile"]
        window.page.wait_for_function("(before) => localStorage.getItem('tasks-session') !== before", arg=before)
        expect(window.state()).to_have_text("live")
    finally:
        service.stop()


def test_it_starts_again_when_it_was_away_for_too_long(context: BrowserContext, database: Database) -> None:
    service = with_example(database)
    try:
        window = signed_up(context, service)
        window.add("kept")
        expect(window.row("kept")).to_be_visible()
        with user_of(window, service) as user:
            task = user.create("deleted")
            expect(window.row("deleted")).to_be_visible()
            expired = '{"title": "Too old", "status": 410, "code": "sync_token_expired"}'
            window.page.route("**/changes?since=*", lambda route: route.fulfill(status=410, body=expired))
            service.stop()
            expect(window.state()).to_contain_text("connection lost")
            service.start()
            user.http.delete(user.path(task))
            expect(window.state()).to_have_text("live")
            expect(window.row("deleted")).to_have_count(0)
            expect(window.row("kept")).to_be_visible()
    finally:
        service.stop()


def lose_the_answer(window: Window, url: str) -> None:
    """Of the next POST, which reaches the service."""

    def handle(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    window.page.route(url, handle, times=1)


def test_a_change_that_was_not_seen_is_overwritten_only_knowingly(context: BrowserContext, example: Service) -> None:
    window = signed_up(context, example)
    with user_of(window, example) as user:
        task = user.create("draft", labels=["mine"])
        editor = window.edit("draft")
        editor.get_by_label("Title").fill("mine")
        user.http.patch(user.path(task), json={"title": "theirs", "description": "new"})
        expect(window.row("theirs")).to_be_visible()
        editor.get_by_role("button", name="Save").click()

        expect(window.refusal()).to_contain_text("412")
        expect(window.refusal()).to_contain_text("precondition_failed")
        expect(editor).to_contain_text("changed meanwhile, to “theirs”")
        assert user.list()[0]["title"] == "theirs"
        editor.get_by_role("button", name="Save").click()
        expect(window.row("mine")).to_be_visible()
        assert [(task["title"], task["description"]) for task in user.list()] == [("mine", "new")]


def test_an_edit_leaves_alone_what_the_form_cannot_show(context: BrowserContext, example: Service) -> None:
    window = signed_up(context, example)
    with user_of(window, example) as user:
        before = user.create(
            "two\nlines", description="and\r\ntwo", labels=["home, sweet"], due_at="2030-02-28T12:00:00Z"
        )
        window.page.get_by_role("button", name="Edit").click()
        editor = window.page.locator(".editor")
        editor.get_by_label("Title").press("End")
        editor.get_by_role("button", name="Save").click()
        expect(editor).to_have_count(0)
        kept = ("title", "description", "labels", "due_at")
        assert [[task[name] for name in kept] for task in user.list()] == [[before[name] for name in kept]]


def test_a_session_that_was_left_does_not_come_back_with_late_tokens(context: BrowserContext, example: Service) -> None:
    window = signed_up(context, example)
    renewals: list[tuple[Route, APIResponse]] = []
    window.page.route("**/api/auth/refresh", lambda route: renewals.append((route, route.fetch())))
    window.page.evaluate("""() => {
        const expired = { ...JSON.parse(localStorage["tasks-session"]), expires_at: 0 };
        localStorage.setItem("tasks-session", JSON.stringify(expired));
    }""")
    window.page.locator("#trash summary").click()
    while not renewals:  # the tokens are changed at the service, and their answer is kept back here
        window.page.wait_for_timeout(50)
    window.page.get_by_role("button", name="Log out").click()
    expect(window.page.get_by_role("button", name="Log in")).to_be_visible()
    ((renewal, answer),) = renewals
    with window.page.expect_response("**/api/auth/refresh"):
        renewal.fulfill(response=answer)
    expect(window.refusal()).to_contain_text("401")
    assert window.page.evaluate("localStorage.getItem('tasks-session')") is None


def test_what_the_service_refuses_is_shown_in_its_words(context: BrowserContext, example: Service) -> None:
    window = Window(context, example)
    window.enter("Log in", new_email())
    expect(window.refusal()).to_contain_text("401")
    window.enter("Sign up", new_email())
    expect(window.state()).to_have_text("live")
    expect(window.refusal()).to_be_hidden()
    window.add("x" * 501, labels="<b>bold</b>")
    expect(window.refusal()).to_contain_text("/title: ")
    expect(window.refusal()).to_contain_text("422")
    window.add("<img src=x onerror=alert(1)>", labels="<b>bold</b>")
    expect(window.row("<img src=x onerror=alert(1)>")).to_contain_text("<b>bold</b>")
    assert not [text for text in window.complaints if "uncaught" in text or "Content Security Policy" in text]


def test_enter_logs_in_and_makes_no_account(context: BrowserContext, example: Service) -> None:
    email = new_email()
    with client(example.url) as http:
        window = Window(context, example)
        for label, text in (("Email", email), ("Password", PASSWORD)):
            window.page.get_by_label(label).fill(text)
        window.page.get_by_label("Password").press("Enter")
        expect(window.refusal()).to_contain_text("401")  # nobody of this address: a name mistyped stays unknown
        http.post("/api/auth/signup", json={"email": email, "password": PASSWORD}).raise_for_status()
        window.page.get_by_label("Password").press("Enter")
        expect(window.state()).to_have_text("live")
        expect(window.refusal()).to_be_hidden()


def test_nothing_but_the_page_itself_runs_in_it(context: BrowserContext, example: Service) -> None:
    page = Window(context, example).page
    violated = page.evaluate("""() => new Promise((resolve) => {
        const violated = new Set();
        document.addEventListener("securitypolicyviolation", (event) => {
            violated.add(event.effectiveDirective);
            if (violated.size === 4) resolve([...violated].sort());
        });
        document.body.append(Object.assign(document.createElement("style"), { textContent: "body { display: none }" }));
        document.body.append(Object.assign(document.createElement("img"), { src: "https://elsewhere.example/x.png" }));
        try { document.body.innerHTML = "<p>" } catch {}
        fetch("https://elsewhere.example/").catch(() => {});
    })""")
    assert violated == ["connect-src", "img-src", "require-trusted-types-for", "style-src-elem"]
    expect(page.get_by_role("button", name="Sign up")).to_be_visible()


def test_only_the_files_of_the_page_are_served_and_only_where_they_are_asked_for(
    example: Service, service: Service
) -> None:
    with client(example.url) as http:
        page = http.get("/example")
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert http.get("/example", headers={"If-None-Match": page.headers["ETag"]}).status_code == 304
        for name in ("%2e%2e", "%2e%2e%2fapp.js", "..%2f..%2fpyproject.toml", "nothing.js", "%00.js", "index.html%00"):
            assert http.get(f"/example/{name}").status_code in {400, 404}, name
    with client(service.url) as http:
        assert http.get("/example").status_code == 404
        assert http.get("/example/app.js").status_code == 404
