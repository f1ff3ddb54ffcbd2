"""The page of examples/web, beside the API that it uses. `make run` has it; `serve` and the image do not."""

from pathlib import Path

from sanic import Blueprint, HTTPResponse

from service import problems
from service.description.page import File
from service.http.requests import Request
from service.http.responses import READ
from service.rest.conditional import body_tag

PAGE = "/example"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
# Nothing from elsewhere, nothing inline, and no text that becomes markup or code.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def example(folder: Path) -> Blueprint:
    """Its files as they are at each request: whoever changes one reloads the page."""
    pages = Blueprint("example", url_prefix=PAGE)

    async def page(request: Request, name: str = "index.html") -> HTTPResponse:
        return _answer(request, folder, name)

    pages.add_route(page, "/", READ, name="page")
    pages.add_route(page, "/<name:str>", READ, name="part")
    return pages


def _answer(request: Request, folder: Path, name: str) -> HTTPResponse:
    found = {path.name: path for path in folder.iterdir() if path.suffix in KINDS}.get(name)
    if found is None:
        raise problems.NotFound
    body = found.read_bytes()
    return File(body, KINDS[found.suffix], body_tag(body)).answer(request, HEADERS)
