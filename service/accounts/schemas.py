"""What clients send to and get from the account routes."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from service.accounts.model import EMAIL_MAX, NAME_MAX
from service.rest.bodies import STORABLE, Body, storable

# Neither the network nor a list of reserved domains decides who may sign up: companies have mail at `corp.local`. The
# list is the library's, which has no argument for this, and says to change it.
SPECIAL_USE_DOMAIN_NAMES.clear()


def _email(value: str) -> str:
    try:
        address = validate_email(storable(value).strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise PydanticCustomError("email", "This is not an email address") from None
    return address.normalized.lower()


def account_email(text: str) -> str | None:
    """The address as signup would have stored it, None where no account can have it."""
    try:
        return _email(text) if len(text) <= EMAIL_MAX else None
    except PydanticCustomError:
        return None


Email = Annotated[str, Field(max_length=EMAIL_MAX, json_schema_extra={"format": "email"}), AfterValidator(_email)]
Password = Annotated[str, Field(min_length=8, max_length=128, json_schema_extra={**STORABLE}), AfterValidator(storable)]
AnyPassword = Annotated[str, Field(max_length=1024)]
Name = Annotated[
    str, Field(min_length=1, max_length=NAME_MAX, json_schema_extra={**STORABLE}), AfterValidator(storable)
]
RefreshTokenText = Annotated[str, Field(min_length=1, max_length=512)]


class Signup(Body):
    email: Email
    password: Password
    name: Name | None = None


class Login(Body):
    """No rules beyond size: a login that breaks one would tell something about the account."""

    email: Annotated[str, Field(max_length=1024)]
    password: AnyPassword


class RefreshToken(Body):
    refresh_token: RefreshTokenText


class NewPassword(Body):
    current_password: AnyPassword
    new_password: Password


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


class User(BaseModel):
    id: UUID
    email: str
    name: str | None
    created_at: Annotated[datetime, PlainSerializer(_rfc3339)]


class Session(BaseModel):
    user: User
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
