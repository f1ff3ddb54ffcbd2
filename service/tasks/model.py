"""The tables of tasks. The models own the schema and its migrations; what the routes run is fixed SQL beside them."""

from uuid import UUID

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.indexes import Index
from tortoise.models import Model

from service.accounts.model import User
from service.identifiers import uuid7

TITLE_MAX = 500
DESCRIPTION_MAX = 10_000
LABELS_MAX = 20
LABEL_MAX = 50
PRIORITIES = ("none", "low", "medium", "high", "urgent")
"""By the number that stands in the database."""


class Task(Model):
    id = fields.UUIDField(primary_key=True, default=uuid7)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="tasks", on_delete=fields.CASCADE
    )
    title = fields.CharField(max_length=TITLE_MAX)
    description = fields.TextField(null=True)
    completed = fields.BooleanField(default=False)
    created_at = fields.DatetimeField(auto_now_add=True)
    # The user's clock at the last change: no two tasks of a user share one
    updated_at = fields.DatetimeField(auto_now_add=True)
    completed_at = fields.DatetimeField(null=True)
    # A day in the calendar of whoever reads it, or a moment; never both
    due_on = fields.DateField(null=True)
    due_at = fields.DatetimeField(null=True)
    priority = fields.SmallIntField(default=0)
    labels: ArrayField = ArrayField(element_type="text", default=list)
    # Inverted by every write that sets the clock; a write that leaves it is the previous release's, and a trigger
    # sets the clock for it. Goes with that trigger, when no such release can run any more.
    clocked = fields.BooleanField(default=False)

    user_id: UUID

    class Meta:
        table = "tasks"
        # `completed` at the end lets that filter be decided in the index. The orders by title and by due time have
        # indexes too, which only their migrations know, since a model cannot say expressions: tasks_by_title on
        # (user_id, title COLLATE "C", id, completed), and tasks_by_due on (user_id, fields.DUE, id, completed).
        indexes = (
            Index(fields=("user_id", "created_at", "id", "completed"), name="tasks_by_created"),
            Index(fields=("user_id", "updated_at", "id", "completed"), name="tasks_by_updated"),
            Index(fields=("user_id", "priority", "id", "completed"), name="tasks_by_priority"),
        )


# What was deleted: with its content while it is in the trash, without it when that was erased. A table of its own, so
# that no list, count or search can come across it.
class DeletedTask(Model):
    id = fields.UUIDField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="deleted_tasks", on_delete=fields.CASCADE
    )
    # The user's clock at the deletion
    deleted_at = fields.DatetimeField(db_index=True)
    # Null when the content was erased
    title = fields.CharField(max_length=TITLE_MAX, null=True)
    description = fields.TextField(null=True)
    completed = fields.BooleanField(null=True)
    created_at = fields.DatetimeField(null=True)
    updated_at = fields.DatetimeField(null=True)
    completed_at = fields.DatetimeField(null=True)
    due_on = fields.DateField(null=True)
    due_at = fields.DatetimeField(null=True)
    priority = fields.SmallIntField(null=True)
    labels: ArrayField = ArrayField(element_type="text", null=True)

    user_id: UUID

    class Meta:
        table = "deleted_tasks"
        indexes = (Index(fields=("user_id", "deleted_at", "id"), name="deleted_tasks_by_user"),)
