"""The page at /docs and its files, as answers; tests/browser/ uses it."""

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from service.api import document
from service.description import page as docs_page
from tests.support.problems import assert_problem
from tests.support.server import Service

_POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
}
_VENDORED = Path(docs_page.__file__).with_name("assets") / "swagger-ui"


def references(page: httpx.Response) -> list[str]:
    """Everything that the browser would load for the page."""
    return [url for url in re.findall(r'<(?:link|script)[^>]* (?:href|src)="([^"]+)"', page.text) if url != "data:,"]


def test_the_page_has_a_strict_policy(visitor: httpx.Client) -> None:
    page = visitor.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert set(page.headers["content-security-policy"].split("; ")) == _POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|<script(?![^>]* src=)|\s(?:style|on\w+)=", page.text), "inline code would not run"


def test_the_page_refers_only_to_files_of_the_service(visitor: httpx.Client) -> None:
    found = references(visitor.get("/docs"))
    assert [re.sub(r"\?v=[0-9a-f]{32}$", "", url) for url in found] == [
        "/docs/assets/swagger-ui.css",
        "/docs/assets/docs.css",
        "/docs/assets/swagger-ui-bundle.js",
        "/docs/assets/docs.js",
    ]
    for url in found:
        answer = visitor.get(url)
        kind = "css" if ".css" in url else "javascript"
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"text/{kind}; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert not re.search(rb"@import|url\((?![\"']?data:)", answer.content) or kind != "css"


def test_a_file_of_another_version_is_not_kept(visitor: httpx.Client) -> None:
    """In a rollout, one pod answers for the page and another for its files."""
    for url in ("/docs/assets/docs.js", "/docs/assets/docs.js?v=000000000000000000000000"):
        assert visitor.get(url).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/docs", "/docs/assets/swagger-ui.css"])
def test_head_and_conditional_requests(visitor: httpx.Client, path: str) -> None:
    got, head = visitor.get(path), visitor.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    again = visitor.get(path, headers={"If-None-Match": got.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # The browser keeps the page and takes these for its headers.
    assert again.headers["content-security-policy"] == got.headers["content-security-policy"]
    assert set(visitor.post(path).headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "SHA256SUMS",
        "docs.html",
        "swagger-ui",
        "swagger-ui/LICENSE",
        "..%2froutes.py",
        "%2e%2e/routes.py",
        "docs.js%00",
    ],
)
def test_only_the_files_of_the_page_are_served(visitor: httpx.Client, name: str) -> None:
    assert_problem(visitor.get(f"/docs/assets/{name}"), 404, "not_found")


def test_the_page_is_a_route_but_no_operation(service: Service, visitor: httpx.Client) -> None:
    visitor.get(references(visitor.get("/docs"))[0])
    assert not [path for path in document()["paths"] if path.startswith("/docs")]
    for route in ("/docs", "/docs/assets/{name}"):
        assert re.search(rf'_count{{method="GET",route="{re.escape(route)}",status="200"}}', service.metrics())


def test_the_vendored_files_are_those_of_the_package() -> None:
    """`make swagger-ui-check` compares the sums with the npm package itself."""
    source, *sums = (_VENDORED / "SHA256SUMS").read_text().splitlines()
    assert re.fullmatch(r"# npm swagger-ui-dist@\d+\.\d+\.\d+", source)
    present = {path.name: path.read_bytes() for path in _VENDORED.iterdir() if path.name != "SHA256SUMS"}
    assert {name: hashlib.sha256(body).hexdigest() for name, body in present.items()} == {
        name: digest for digest, name in (line.split() for line in sums)
    }


def test_the_root_leads_to_the_page(visitor: httpx.Client) -> None:
    answer = visitor.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
