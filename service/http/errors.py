"""Every exception that leaves a handler, Sanic's own among them, becomes a problem document here."""

import asyncio
from contextlib import suppress
from time import perf_counter

import structlog
from sanic import HTTPResponse, Request
from sanic.constants import HTTP_METHODS
from sanic.exceptions import SanicException
from sanic.handlers import ErrorHandler

from service import problems
from service.database import errors
from service.http.observer import Observer
from service.http.responses import Response, problem_response
from service.problems import Problem
from service.telemetry.timing import Timing

log = structlog.get_logger()

_BY_STATUS: dict[int, type[Problem]] = {
    400: problems.BadRequest,
    404: problems.NotFound,
    405: problems.MethodNotAllowed,
    408: problems.RequestTimeout,
    413: problems.TooLarge,
    414: problems.UriTooLong,
    417: problems.ExpectationFailed,
    503: problems.Overloaded,
}


class ProblemHandler(ErrorHandler):
    def __init__(self, observer: Observer | None = None) -> None:
        super().__init__()
        self._observer = observer

    def default(self, request: Request, exception: Exception) -> HTTPResponse:
        if request.head.startswith(b"OPTIONS * "):
            return Response(None, 204, {"Allow": ", ".join(_implemented(request))})
        problem = to_problem(exception)
        if problem.status == problems.Unexpected.status:
            log.error("unexpected_error", request_id=request.id, exc_info=exception)
        if (
            request.method == "NONE" and self._observer is not None
        ):  # the head of the request was unreadable: no handler ever saw it
            self._observer.record(request, problem.status, Timing(perf_counter()))
        if problem.status == problems.MethodNotAllowed.status and "Allow" not in problem.headers:
            problem.headers["Allow"] = ", ".join(_allowed(request))
        return problem_response(problem, str(request.id))


def _implemented(request: Request) -> list[str]:
    return sorted({str(method) for route in request.app.router.routes for method in route.methods})


def _allowed(request: Request) -> list[str]:
    """The methods of the request's path; for a method that it has never heard of, Sanic does not say."""
    found = []
    for method in HTTP_METHODS:
        with suppress(SanicException):
            request.app.router.get(request.path, str(method.value), None)
            found.append(str(method.value))
    return found


def to_problem(exception: BaseException) -> Problem:
    if isinstance(exception, Problem):
        return exception
    if isinstance(exception, SanicException):
        return _from_sanic(exception)
    if isinstance(exception, asyncio.CancelledError):  # what Sanic makes of a disconnect is no exception of its own
        return problems.ClientClosedRequest()
    return errors.translate(exception) or problems.Unexpected()


def _from_sanic(exception: SanicException) -> Problem:
    if exception.status_code == problems.TooLarge.status and "header" in str(exception):
        return problems.HeadersTooLarge()
    kind = _BY_STATUS.get(exception.status_code)
    if kind is None:
        clients_fault = 400 <= exception.status_code < 500  # noqa: PLR2004  clearest as numbers
        return problems.BadRequest() if clients_fault else problems.Unexpected()
    problem = kind()
    problem.headers.update(exception.headers)
    return problem
