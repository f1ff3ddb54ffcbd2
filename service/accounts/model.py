"""The tables of users and their sessions. A model's docstring would become a comment in the database, hence the `#`."""

from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.models import Model

from service.identifiers import uuid7

EMAIL_MAX = 254
NAME_MAX = 200
SUBJECT_MAX = 255
"""OpenID Connect Core, section 2."""

ISSUER_MAX = 500

NO_PASSWORD = "!"  # noqa: S105  the hash of no password, not a password


class User(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    email = fields.CharField(max_length=EMAIL_MAX, unique=True)
    # Lower case: two spellings of one address are one account.
    password_hash = fields.TextField()
    name = fields.CharField(max_length=NAME_MAX, null=True)
    created_at = fields.DatetimeField(auto_now_add=True)
    # When it was deleted: from then on it is nobody's, and its rows are being removed.
    ended_at = fields.DatetimeField(null=True)
    # Every change to the user's tasks advances it, in the same statement, and takes its `updated_at` from it. In
    # no index, so that the row can be updated in its page.
    tasks_clock = fields.DatetimeField(auto_now_add=True)
    # How many tasks the user has; null until the migration has counted them
    tasks_count = fields.IntField(null=True, default=0)

    class Meta:
        table = "users"


# One link of a session's chain; the whole chain is a family, and ends as a whole.
class RefreshToken(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="refresh_tokens", on_delete=fields.CASCADE
    )
    family = fields.UUIDField(db_index=True)
    token_hash = fields.CharField(max_length=64, unique=True)
    # SHA-256 in hex: the tokens are random, so a slow hash would add nothing.
    created_at = fields.DatetimeField(auto_now_add=True)
    expires_at = fields.DatetimeField(db_index=True)
    used_at = fields.DatetimeField(null=True)

    user_id: UUID

    class Meta:
        table = "refresh_tokens"


class RateLimit(Model):
    # A limit's name and a digest of whom it counts: neither address nor email is kept
    key = fields.CharField(max_length=100, primary_key=True)
    # When the attempts of the last minute were made
    hits: ArrayField = ArrayField(element_type="timestamptz")
    updated_at = fields.DatetimeField(auto_now_add=True, db_index=True)

    class Meta:
        table = "rate_limits"


class ExternalIdentity(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    issuer = fields.CharField(max_length=ISSUER_MAX)
    subject = fields.CharField(max_length=SUBJECT_MAX)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="identities", on_delete=fields.CASCADE
    )
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "external_identities"
        unique_together = (("issuer", "subject"),)
