"""The tasks table. The models own the schema and its migrations; what the routes run is the fixed SQL in `store`."""

from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from service.accounts.model import User
from service.identifiers import uuid7

TITLE_MAX = 500
DESCRIPTION_MAX = 10_000


class Task(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="tasks", on_delete=fields.CASCADE
    )
    title = fields.CharField(max_length=TITLE_MAX)
    description = fields.TextField(null=True)
    completed = fields.BooleanField(default=False)
    created_at = fields.DatetimeField(auto_now_add=True)
    updated_at = fields.DatetimeField(auto_now_add=True)

    user_id: UUID

    class Meta:
        table = "tasks"
        # `completed` at the end lets that filter be decided in the index. The order by title has an index too, which
        # only its migration knows: tasks_by_title on (user_id, title COLLATE "C", id, completed).
        indexes = (
            Index(fields=("user_id", "created_at", "id", "completed"), name="tasks_by_created"),
            Index(fields=("user_id", "updated_at", "id", "completed"), name="tasks_by_updated"),
        )
