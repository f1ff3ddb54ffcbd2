"""The parameters of the task routes, in the OpenAPI document's words."""

from pydantic import BaseModel

from service.description.openapi import Json

LAST_EVENT_ID: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "For a stream: the id of the last event that the client has seen; goes before `since`",
    "schema": {"type": "string", "maxLength": 200, "pattern": "^[A-Za-z0-9_-]*$"},
}


def query_parameters(model: type[BaseModel]) -> list[Json]:
    """A query string's parameters, from the model that parses them."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {"name": name, "in": "query", "description": _QUERY[name], "schema": _plain(found), **_STYLES.get(name, {})}
        for name, found in schema["properties"].items()
    ]


def _plain(schema: Json) -> Json:
    """Without the null that stands for "not given": a query string has no null."""
    if "anyOf" in schema:
        kinds = [kind for kind in schema["anyOf"] if kind.get("type") != "null"]
        schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {key: value for key, value in schema.items() if key != "title"}


_STYLES: dict[str, Json] = {"priority": {"style": "form", "explode": False}}
_QUERY = {
    "since": "A token from `next`; opaque, and only for the same user",
    "limit": "How many on a page, at the most: it also ends at 1 MiB",
    "cursor": "Where the page starts; opaque, from the `Link` header, and only for the same user, sort and filters",
    "sort": "Order; `-` means descending. Ties are ordered by id, in the same direction. In both directions of `due`, "
    "tasks without a day or a moment come last; a day counts as its end in UTC",
    "completed": "Only tasks that are, or are not, completed",
    "q": "Only tasks whose title or description contains this, in any case",
    "created_from": "Only tasks created then or later",
    "created_to": "Only tasks created then or earlier",
    "updated_from": "Only tasks changed then or later",
    "updated_to": "Only tasks changed then or earlier",
    "due_from": "Only tasks due on this day, or at this moment, or later; days are those of UTC",
    "due_to": "Only tasks due on this day, or at this moment, or earlier; days are those of UTC",
    "priority": "Only tasks of this priority, or of one of several: with commas between, or given several times",
    "label": "Only tasks that carry this label; given up to five times, all of them",
}
