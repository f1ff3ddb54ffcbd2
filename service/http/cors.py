"""Requests from pages of other origins, as the Fetch standard has them: who may call, and what scripts get to see."""

import re
from urllib.parse import SplitResult, urlsplit

from sanic.request import Request
from sanic.response import HTTPResponse

ANY = "*"
MAX_AGE_SECONDS = 600
"""How long a browser may go by the answer to a preflight request."""

# What a script may send beyond the few that every page may; with `traceparent` and its like, browsers are traced.
REQUEST_HEADERS = (
    "Authorization",
    "Baggage",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Traceparent",
    "Tracestate",
    "X-Request-Id",
)
# What a script may read, beyond the few that every page may: all that answers carry.
RESPONSE_HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Accept-Patch",
    "Allow",
    "Content-Location",
    "Date",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "Vary",
    "WWW-Authenticate",
    "X-Request-Id",
    "X-Total-Count",
)
_ALLOWED, _EXPOSED = ", ".join(REQUEST_HEADERS), ", ".join(RESPONSE_HEADERS)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class Cors:
    """Response middleware, for when some origin may call at all."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def add_headers(self, request: Request, response: HTTPResponse) -> None:
        """To every answer, errors too; what its handler has set stays."""
        headers = response.headers
        if ANY not in self._origins:
            vary = headers.get("Vary")
            headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        origin = self._allowed(request)
        if origin is None:
            return
        headers["Access-Control-Allow-Origin"] = origin
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            headers["Access-Control-Allow-Headers"] = _ALLOWED
            headers["Access-Control-Allow-Methods"] = headers.get("Allow", "")
            headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
        else:
            headers["Access-Control-Expose-Headers"] = _EXPOSED

    def _allowed(self, request: Request) -> str | None:
        given = request.headers.getall("origin", ())
        if len(given) != 1:
            return None
        if ANY in self._origins:
            return ANY
        return str(given[0]) if given[0] in self._origins else None


def parse_origins(text: str) -> frozenset[str]:
    """Comma-separated origins, each as browsers write it. Raises ValueError that names every mistake."""
    given = [part.strip() for part in text.split(",") if part.strip()]
    if ANY in given:
        if len(given) > 1:
            raise ValueError("* stands for all origins; none can stand beside it")
        return frozenset(given)
    found, mistakes = set(), []
    for origin in given:
        try:
            found.add(_canonical(origin))
        except ValueError as error:
            mistakes.append(f"{origin!r} {error}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return frozenset(found)


def _canonical(origin: str) -> str:
    """Scheme and host in lower case, ports that go without saying left out, other alphabets as IDNA has them."""
    if "://" not in origin:
        raise ValueError("has no scheme: write https://app.example or http://localhost:3000")
    if ANY in origin:
        raise ValueError("has a wildcard, which browsers do not know: list every origin, or * alone for all")
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        raise ValueError("is no origin: its port or its address cannot be read") from None
    scheme = parts.scheme.lower()
    if parts.path or "?" in origin or "#" in origin:
        raise ValueError("must end with its host or port: an origin has no slash at its end, and no path")
    if "@" in parts.netloc:
        raise ValueError("must not have a user")
    if not _SCHEME.fullmatch(scheme) or port == 0 or parts.netloc.endswith(":"):
        raise ValueError("is no origin: write https://app.example or http://localhost:3000")
    shown = "" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
    return f"{scheme}://{_host(parts)}{shown}"


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        return f"[{host}]"
    try:
        name = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise ValueError("has no host that a browser could be at")
    return name
