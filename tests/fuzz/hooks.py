"""What schemathesis cannot know from a schema: which values of a header make sense for this task and this moment."""

import re
from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.check
def the_code_is_one_that_the_status_has(_context: Any, response: Any, case: Any) -> None:
    """What the description says of errors beyond their schema."""
    described = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    if "x-problem-codes" in described:
        problem = response.json()
        assert problem["code"] in described["x-problem-codes"]
        assert "errors" in problem or problem["code"] != "validation_error"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Replace valid values by ones that also fit the state; what was made invalid on purpose stays as it is."""
    headers = case.headers or {}
    if re.fullmatch(r"[\x21-\x7e]{1,255}", headers.get("Idempotency-Key", "")):
        headers["Idempotency-Key"] = uuid4().hex  # the same key for another request is a 422
    if "If-Match" in headers:
        headers["If-Match"] = "*"  # a made-up tag is a 412
    if "If-None-Match" in headers:
        headers["If-None-Match"] = '"made-up"'  # and so is `*`, where the task exists
    query = case.query or {}
    if re.fullmatch(r"[A-Za-z0-9_-]{1,4096}", str(query.get("cursor", ""))):
        query.pop("cursor")  # a made-up cursor is a 422
    if re.fullmatch(r"[A-Za-z0-9_-]{1,200}", str(query.get("since", ""))):
        query.pop("since")  # and so is a made-up sync token
    headers.pop("Last-Event-ID", None)
