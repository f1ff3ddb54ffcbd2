"""One fixed SQL text, as the pool runs it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """`operation` is its label in the metrics. Only reads are repeated after a lost connection."""

    operation: str
    sql: str
    reads: bool = False
    many: str | None = None
    """The same read for several callers in one statement, if they may share it: each argument is an array with what
    each caller gives, and behind the columns of `sql` a row has the number of its caller, from 1."""

    large: bool = False
    """Whether what a caller gets can be a megabyte or two, in the first column."""


def shared_read(operation: str, write: Callable[..., str], *, large: bool = False, **types: str) -> Statement:
    """A read that callers may share. Every one of them should be as short as the others: they wait for each other.

    `write` makes the text of names for its arguments, whose types in SQL are given in their order.
    """
    numbered = {name: f"${number}::{kind}" for number, (name, kind) in enumerate(types.items(), start=1)}
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types.values(), start=1))
    each = write(**{name: f"asked.{name}" for name in types})
    many = (
        f"SELECT found.*, place FROM unnest({arrays}) WITH ORDINALITY AS asked ({', '.join(types)}, place),"  # noqa: S608  fixed texts
        f" LATERAL ({each}) AS found"
    )
    return Statement(operation, write(**numbered), reads=True, many=many, large=large)
