"""What the OpenAPI document says of the account routes."""

from typing import Any

from service import problems
from service.accounts.schemas import Login, NewPassword, RefreshToken, Session, Signup, User
from service.description.openapi import Answer, Json, Operation

MODELS = (Signup, Login, RefreshToken, NewPassword, User, Session)

_USER = {
    "id": "01a2058f-e8f5-76b7-8b6a-25e4f0baad3b",
    "email": "ada@example.com",
    "name": "Ada",
    "created_at": "2026-11-22T23:20:47.094446Z",
}
_SESSION = {
    "user": _USER,
    "access_token": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMWEyIn0.c2lnbmF0dXJl",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "TnPbmYAIdhhPMh-8zo3aXsCKad6USYCupbUoVRtgXBs",
}
_CREDENTIALS = {"email": "ada@example.com", "password": "correct horse"}
_LIMITED = (problems.Invalid, problems.TooManyRequests)
_LIMITS = ("RateLimit", "RateLimit-Policy")

SCHEMAS: Json = {
    "JsonWebKeySet": {
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {"$ref": "#/components/schemas/JsonWebKey"}}},
    },
    "JsonWebKey": {"type": "object", "description": "RFC 7517: `kty`, `kid` and what a key of its type consists of"},
}


def _operation(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
    return Operation(method, path, name, summary, "accounts", **more)


def _link(operation: str, description: str) -> Json:
    return {
        "operationId": operation,
        "parameters": {"user_id": "$response.body#/user/id"},
        "description": f"{description}; send the access token",
    }


_LINKS = {"create": _link("create_task", "Create a task"), "list": _link("list_tasks", "List one's tasks")}


def _session(status: int, description: str, *headers: str) -> Answer:
    return Answer(status, description, "Session", (*headers, "Cache-Control"), _LINKS, _SESSION)


OPERATIONS = (
    _operation(
        "post",
        "/api/auth/signup",
        "signup",
        "Create an account and begin a session",
        body=Signup,
        body_example={**_CREDENTIALS, "name": "Ada"},
        answers=(_session(201, "The account and its first session"),),
        problems=(problems.EmailTaken, *_LIMITED),
        token=False,
    ),
    _operation(
        "post",
        "/api/auth/login",
        "login",
        "Begin a session",
        description="Limited for each account and address; the answer never tells whether the account exists.",
        body=Login,
        body_example=_CREDENTIALS,
        answers=(_session(200, "A new session", *_LIMITS),),
        problems=(problems.BadCredentials, *_LIMITED),
        token=False,
    ),
    _operation(
        "post",
        "/api/auth/refresh",
        "refresh",
        "Prolong a session: a new access token, and a new refresh token in place of this one",
        description=(
            "Each refresh token replaces the one before. Within 30 s (the service's setting) of its first use a token"
            " gives another one of the same session, for two tabs or after an answer that got lost; later it ends its"
            " whole session."
        ),
        body=RefreshToken,
        body_example={"refresh_token": _SESSION["refresh_token"]},
        answers=(_session(200, "The session goes on"),),
        problems=(problems.BadRefreshToken, problems.Invalid),
        token=False,
    ),
    _operation(
        "post",
        "/api/auth/logout",
        "logout",
        "End a session",
        description="Access tokens of the session live on until they expire. An unknown token is no error.",
        body=RefreshToken,
        body_example={"refresh_token": _SESSION["refresh_token"]},
        answers=(Answer(204, "The session has ended"),),
        problems=(problems.Invalid,),
        token=False,
    ),
    _operation(
        "get",
        "/api/auth/me",
        "me",
        "Read one's own account",
        parameters=("If-Match", "If-None-Match"),
        answers=(
            Answer(200, "The account", "User", ("ETag", "Cache-Control"), example=_USER),
            Answer(304, "The account has not changed", headers=("ETag", "Cache-Control")),
        ),
        problems=(problems.PreconditionFailed,),
    ),
    _operation(
        "delete",
        "/api/auth/me",
        "delete_account",
        "Delete one's account and all its tasks",
        description="It ends at once, on every route; its email can sign up again. The rows are removed soon after.",
        parameters=("If-Match", "If-None-Match"),
        answers=(Answer(204, "The account and all its tasks are gone"),),
        problems=(problems.PreconditionFailed,),
    ),
    _operation(
        "put",
        "/api/auth/password",
        "change_password",
        "Change the password; every other session ends",
        body=NewPassword,
        body_example={"current_password": "correct horse", "new_password": "battery staple"},
        answers=(Answer(204, "The password has changed", headers=_LIMITS),),
        problems=(problems.BadCredentials, *_LIMITED),
    ),
    _operation(
        "get",
        "/.well-known/jwks.json",
        "jwks",
        "Read the public keys that verify this service's access tokens",
        answers=(
            Answer(
                200,
                "A JWK set, RFC 7517; empty while tokens are signed with a shared secret",
                "JsonWebKeySet",
                ("ETag", "Cache-Control"),
            ),
            Answer(304, "The keys have not changed", headers=("ETag", "Cache-Control")),
        ),
        parameters=("If-Match", "If-None-Match"),
        problems=(problems.PreconditionFailed,),
        token=False,
        database=False,
    ),
)
