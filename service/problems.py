"""What can go wrong: each class is one kind, with the status and the `code` that clients see.

Code raises a `Problem`; `http.responses.problem_response` is the only way from there to an HTTP answer. `code` is part
of the API: it never changes.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One thing wrong with the input; `pointer` is an RFC 6901 pointer into the body, or the parameter's name."""

    pointer: str
    message: str
    code: str


class Problem(Exception):
    """A failed request: subclasses fix `status`, `code` and `title`, the instance says what happened this time."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal Server Error"

    def __init__(self, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = dict(headers or {})

    errors: Sequence[FieldError] = ()
    """Which parts of the request were at fault; none when it is the whole."""

    def members(self) -> dict[str, object]:
        """Members beside the five of RFC 9457 and `code`."""
        return {"errors": self.errors} if self.errors else {}


class BadRequest(Problem):
    status, code, title = 400, "bad_request", "Bad request"


class NotJson(Problem):
    status, code, title = 400, "not_json", "The body is not JSON"


CHALLENGE = 'Bearer realm="tasks-service"'


class Unauthenticated(Problem):
    """Every 401 carries a challenge, RFC 9110 section 11.6.1: there is no other scheme than this one."""

    status, code, title = 401, "unauthenticated", "Credentials are needed"

    def __init__(self, *, challenge: str = CHALLENGE, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={"WWW-Authenticate": challenge, **(headers or {})})


class Unauthorized(Unauthenticated):
    """A token that does not count, or none; every fault of a token looks the same from outside.

    As RFC 6750 section 3.1 has it, the challenge names an error only where a token was sent.
    """

    code, title = "unauthorized", "A valid access token is needed"

    def __init__(self, *, sent: bool = True) -> None:
        super().__init__(challenge=f'{CHALLENGE}, error="invalid_token"' if sent else CHALLENGE)


class BadCredentials(Unauthenticated):
    code, title = "bad_credentials", "Email or password is wrong"


class BadRefreshToken(Unauthenticated):
    code, title = "bad_refresh_token", "The refresh token is not valid"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "These are another user's tasks"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is nothing here"


class TaskNotFound(Problem):
    status, code, title = 404, "task_not_found", "No such task"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This method is not supported here"


class RequestTimeout(Problem):
    status, code, title = 408, "request_timeout", "The request took too long to arrive"


class EmailTaken(Problem):
    status, code, title = 409, "email_taken", "This email has an account already"


class IdempotencyInProgress(Problem):
    status, code, title = 409, "idempotency_in_progress", "The first request with this key is still running"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class IdempotencyKeyReused(Problem):
    status, code, title = 422, "idempotency_key_reused", "This key was used for another request"


class TooManyTasks(Problem):
    status, code, title = 409, "too_many_tasks", "The account has as many tasks as it may have"

    def __init__(self, tasks_max: int) -> None:
        super().__init__(f"An account has at most {tasks_max} tasks, beside those in the trash")


class SyncTokenExpired(Problem):
    status, code, title = 410, "sync_token_expired", "This sync token is too old: start again without one"


class AnswerErased(Problem):
    status, code, title = 410, "answer_erased", "What this request was answered with has been erased since"


class PreconditionFailed(Problem):
    status, code, title = 412, "precondition_failed", "The state is not one that the request allows"


class TooLarge(Problem):
    status, code, title = 413, "too_large", "The request is too large"


class UriTooLong(Problem):
    status, code, title = 414, "uri_too_long", "The URL is too long"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "This content type is not supported"


class ExpectationFailed(Problem):
    status, code, title = 417, "expectation_failed", "The expectation cannot be met"


class ClientClosedRequest(Problem):
    """Nobody is there to read it; it stands in metrics and logs, as nginx has it."""

    status, code, title = 499, "client_closed_request", "The client left before the answer"


class Invalid(Problem):
    """The input was understood and breaks a rule; `errors` says which."""

    status, code, title = 422, "validation_error", "The input is not valid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e['pointer'] or 'body'}: {e['message']}" for e in errors[:3]))
        self.errors = errors

    @classmethod
    def field(cls, pointer: str, message: str, code: str) -> "Invalid":
        return cls([{"pointer": pointer, "message": message, "code": code}])


class TooManyRequests(Problem):
    """`retry_after` is in whole seconds."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, *, retry_after: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={"Retry-After": str(retry_after), **(headers or {})})


class TooManyStreams(Problem):
    status, code, title = 429, "too_many_streams", "The account has as many open streams as it may have"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "5"})


class HeadersTooLarge(Problem):
    status, code, title = 431, "headers_too_large", "The request's headers are too large"


class Retryable(Problem):
    """Nothing is wrong with the request; `retry_after` is in whole seconds."""

    status, code, title = 503, "unavailable", "The service cannot answer right now"
    retry_after = 1

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after or self.retry_after)})


class DatabaseUnavailable(Retryable):
    code, title = "database_unavailable", "The database cannot be reached"


class SchemaBehind(Retryable):
    """Somebody migrated down, or dropped a table, under this process."""

    code, title = "schema_behind", "The database lacks what this release works on"
    retry_after = 5


class DatabaseSlow(Retryable):
    code, title = "database_timeout", "The database did not answer in time"


class DatabaseReadOnly(Retryable):
    code, title = "database_read_only", "The database does not accept writes right now"


class DatabaseFull(Retryable):
    code, title = "database_full", "The database has no room for writes right now"
    retry_after = 30


class DatabaseBusy(Retryable):
    code, title = "database_busy", "Another write was in the way, several times"


class IssuerUnavailable(Retryable):
    """For tokens of an external issuer, while none of its keys is known."""

    code, title = "identity_provider_unavailable", "The identity provider cannot be reached"
    retry_after = 5


class PoolExhausted(Retryable):
    code, title = "pool_exhausted", "Too many requests are waiting for the database"


class Overloaded(Retryable):
    code, title = "overloaded", "The service is doing all it can"


class StreamsFull(Retryable):
    code, title = "streams_full", "This process has as many open streams as it may have"


class Unexpected(Problem):
    """A fault of ours; what it was is in the log under the request's id, never in the answer."""
