"""The interactive page at /docs, and the files that it is made of: all of them are here, none comes from elsewhere."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sanic import HTTPResponse

from service.http.requests import Request
from service.rest.conditional import body_tag, not_modified

_FOLDER = Path(__file__).with_name("assets")
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_ASSETS = {
    "docs.css": ("docs.css", _STYLE),
    "docs.js": ("docs.js", _SCRIPT),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", _STYLE),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", _SCRIPT),
}

# `data:` is for the icons inside of Swagger UI's style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class File:
    body: bytes
    content_type: str
    tag: str

    @property
    def version(self) -> str:
        return self.tag.strip('"')

    def answer(self, request: Request, headers: dict[str, str]) -> HTTPResponse:
        headers = {**headers, "ETag": self.tag}
        if not_modified(request.headers, self.tag):
            return HTTPResponse(status=304, headers=headers)
        return HTTPResponse(self.body, headers=headers, content_type=self.content_type)


def page(request: Request) -> HTTPResponse:
    return _page().answer(request, _PAGE_HEADERS)


def asset(request: Request, name: str) -> HTTPResponse | None:
    """None if there is no such file.

    Browsers keep the version that the page names. In a rollout, a pod may be asked for the version of another: it
    answers with its own, and that is not to be kept.
    """
    found = _assets().get(name)
    if found is None:
        return None
    kept = request.args.get("v") == found.version
    return found.answer(request, {"Cache-Control": "public, max-age=31536000, immutable" if kept else "no-cache"})


@cache
def _assets() -> dict[str, File]:
    return {name: _file((_FOLDER / path).read_bytes(), kind) for name, (path, kind) in _ASSETS.items()}


@cache
def _page() -> File:
    html = (_FOLDER / "docs.html").read_text(encoding="utf-8")
    for name, file in _assets().items():
        html = html.replace(f'/{name}"', f'/{name}?v={file.version}"')
    return _file(html.encode(), "text/html; charset=utf-8")


def _file(body: bytes, content_type: str) -> File:
    return File(body, content_type, body_tag(body))
