"""Every setting: its name in the environment, its default, its unit and its check.

All of it is read and checked once, at start; `SettingsError` names every mistake that was found, not just the first.
"""

import os
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from service.accounts.discovery import is_issuer
from service.accounts.keys import SigningKey, private_key, secret_key
from service.accounts.model import ISSUER_MAX
from service.database.url import DatabaseUrl, parse_database_url
from service.environment import SettingsError, read
from service.http.cors import parse_origins

__all__ = ["Settings", "SettingsError", "load_settings"]

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Days = Annotated[float, Field(gt=0, le=604_800)]
JWT_SECRET_BYTES_MIN = 32
"""RFC 7518, section 3.2."""

STATEMENT_TIMEOUT_SECONDS_MIN = 0.001
"""PostgreSQL counts whole milliseconds, and takes 0 of them for no limit."""


class Settings(BaseModel):
    """The whole configuration; field names are the environment's names in lower case."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    database_url: SecretStr
    jwt_secret: SecretStr | None = None
    jwt_private_key: SecretStr | None = None
    jwt_issuer: str = "tasks-service"
    jwt_audience: str = "tasks-service"
    jwt_access_ttl_seconds: int = Field(900, ge=1, le=86_400)
    connections_max: int = Field(10_000, ge=1, le=1_000_000)
    tasks_per_user_max: int = Field(100_000, ge=1, le=100_000_000)
    trash_retention_days: float = Field(30, gt=0, le=3650)
    streams_per_user_max: int = Field(10, ge=1, le=100_000)
    streams_max: int = Field(5000, ge=1, le=100_000)
    jwt_refresh_ttl_seconds: int = Field(2_592_000, ge=1, le=31_536_000)
    jwt_refresh_leeway_seconds: int = Field(30, ge=0, le=3600)
    oidc_issuer: str | None = Field(None, max_length=ISSUER_MAX)
    oidc_audience: str = ""

    host: str = "0.0.0.0"  # noqa: S104  a pod listens on all of its addresses
    port: Port = 8000
    admin_port: Port = 9000

    db_pool_min: int = Field(5, ge=0, le=1000)
    db_pool_max: int = Field(20, ge=1, le=1000)
    db_pool_acquire_timeout_seconds: Seconds = 1
    db_connect_timeout_seconds: Seconds = 2
    db_statement_timeout_seconds: float = Field(2, ge=STATEMENT_TIMEOUT_SECONDS_MIN, le=3600)
    db_connection_max_age_seconds: Days = 3600
    db_connection_max_idle_seconds: Days = 300
    db_pooler: Literal["none", "session", "transaction"] = "none"

    trusted_proxies: int = Field(0, ge=0, le=10)
    cors_origins: str = ""
    login_attempts_per_minute: int = Field(10, ge=1, le=100_000)
    failed_logins_per_address_per_minute: int = Field(100, ge=1, le=100_000)
    signups_per_address_per_minute: int = Field(600, ge=1, le=100_000)
    concurrent_requests_per_user: int | None = Field(None, ge=1, le=1000)
    queued_requests_per_user: int = Field(100, ge=0, le=100_000)
    server_timing: bool = False

    slo_latency_ms: int = Field(200, ge=1, le=60_000)
    drain_seconds: float = Field(3, ge=0, le=60)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("log_level", "log_format", "db_pooler", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        parse_origins(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _parse_url(cls, value: SecretStr) -> SecretStr:
        parse_database_url(value.get_secret_value())
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < JWT_SECRET_BYTES_MIN:
            raise ValueError("must have at least 32 bytes; make one with: openssl rand -base64 48")
        return value

    @field_validator("jwt_private_key")
    @classmethod
    def _usable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            private_key(value.get_secret_value())
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is not None and not is_issuer(value):
            raise ValueError("must be an https:// URL without user, query and fragment; http:// only on this machine")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes = _disagreements(self)
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    @property
    def allowed_origins(self) -> frozenset[str]:
        return parse_origins(self.cors_origins)

    @property
    def database(self) -> DatabaseUrl:
        return parse_database_url(self.database_url.get_secret_value())

    @property
    def trash_retention_seconds(self) -> float:
        return self.trash_retention_days * 24 * 3600

    @property
    def signing_keys(self) -> list[SigningKey]:
        """The private key first when there is one; the secret then still verifies, so that one can move to a key."""
        keys = []
        if self.jwt_private_key is not None:
            keys.append(private_key(self.jwt_private_key.get_secret_value()))
        if self.jwt_secret is not None:
            keys.append(secret_key(self.jwt_secret.get_secret_value()))
        return keys

    @property
    def oidc_audiences(self) -> list[str]:
        """Any of them will do: the same API can have several names at one issuer."""
        return [name for part in self.oidc_audience.split(",") if (name := part.strip())] or [self.jwt_audience]

    @property
    def cursor_keys(self) -> list[bytes]:
        """The same on every pod, and of no use for anything but cursors; the first one signs, as of `signing_keys`."""
        secrets = [secret for secret in (self.jwt_private_key, self.jwt_secret) if secret is not None]
        return [blake2b(s.get_secret_value().encode(), person=b"cursor", digest_size=32).digest() for s in secrets]


def _disagreements(s: Settings) -> list[str]:
    found = []
    if s.jwt_secret is None and s.jwt_private_key is None:
        found.append("JWT_SECRET: is required unless JWT_PRIVATE_KEY is given")
    if s.oidc_issuer is not None and s.oidc_issuer == s.jwt_issuer:
        found.append("OIDC_ISSUER: is the value of JWT_ISSUER too: nobody could tell their tokens apart")
    if s.db_pool_min > s.db_pool_max:
        found.append(f"DB_POOL_MIN: {s.db_pool_min} is above DB_POOL_MAX, which is {s.db_pool_max}")
    if s.concurrent_requests_per_user is not None and s.concurrent_requests_per_user > s.db_pool_max:
        found.append(
            f"CONCURRENT_REQUESTS_PER_USER: {s.concurrent_requests_per_user} is above DB_POOL_MAX, which is"
            f" {s.db_pool_max}: one user's requests would fill the pool"
        )
    if s.port == s.admin_port:
        found.append(f"ADMIN_PORT: {s.admin_port} is the value of PORT too")
    return found


def load_settings() -> Settings:
    """Settings from the environment and from the files it names. Raises SettingsError."""
    texts, mistakes = read(os.environ, [name.upper() for name in Settings.model_fields])
    # What stands in a file that cannot be read
    not_missing = tuple(f"{line.partition('_FILE:')[0]}: is required" for line in mistakes if "_FILE:" in line)
    given: dict[str, Any] = {name.lower(): text for name, text in texts.items()}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults = error.errors(include_input=False)
        mistakes += [line for fault in faults for line in _lines(fault["loc"], fault["msg"])]
        mistakes += _masked(given, {str(fault["loc"][0]) for fault in faults if fault["loc"]})
    mistakes = [line for line in mistakes if not line.startswith(not_missing)]
    if mistakes:
        raise SettingsError("\n".join(sorted(mistakes)))
    return settings


def _masked(given: Mapping[str, Any], wrong: set[str]) -> list[str]:
    """What disagrees among the settings that are right in themselves: pydantic stops at those that are not."""
    if not wrong:  # then they have been checked
        return []
    known_good = {name: Settings.model_fields[name].get_default() for name in wrong}
    if "database_url" in wrong:
        known_good["database_url"] = "postgresql://localhost"
    try:
        Settings(**{**given, **known_good})
    except ValidationError as error:
        lines = [line for fault in error.errors(include_input=False) for line in _lines(fault["loc"], fault["msg"])]
        return [line for line in lines if not any(name.upper() in line for name in wrong)]
    return []


def _lines(location: tuple[int | str, ...], message: str) -> list[str]:
    message = message.removeprefix("Value error, ")
    if not location:
        return message.split("\n")
    text = "is required" if message == "Field required" else message
    return [f"{str(location[0]).upper()}: {line}" for line in text.split("\n")]
