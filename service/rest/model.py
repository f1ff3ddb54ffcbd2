"""The table of idempotency keys."""

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.models import Model

from service.identifiers import uuid7


class IdempotencyKey(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[Model] = fields.ForeignKeyField(
        "models.User", related_name="idempotency_keys", on_delete=fields.CASCADE
    )
    key = fields.CharField(max_length=255)
    # SHA-256 of the request, in hex
    fingerprint = fields.CharField(max_length=64)
    # The answer; null only inside the transaction that is still making it
    status = fields.SmallIntField(null=True)
    headers: ArrayField = ArrayField(element_type="text", null=True)
    body = fields.BinaryField(null=True)
    created_at = fields.DatetimeField(auto_now_add=True, db_index=True)

    class Meta:
        table = "idempotency_keys"
        unique_together = (("user", "key"),)
