"""The API's description, put together from what each feature says of itself."""

from functools import cache

from service.accounts import openapi as accounts
from service.description import routes as description
from service.description.openapi import Json, build
from service.tasks import openapi as tasks
from service.tasks.openapi_schemas import SCHEMAS as TASK_SCHEMAS


@cache
def document() -> Json:
    """OpenAPI 3.1."""
    return build(
        (*accounts.OPERATIONS, *tasks.OPERATIONS, *description.OPERATIONS),
        (*accounts.MODELS, *tasks.MODELS),
        {**accounts.SCHEMAS, **TASK_SCHEMAS, **description.SCHEMAS},
    )
