"""Whether the schema is what this build works on: looked at now and then, and at once when a statement misses some."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from service.background import Background
from service.database.orm import columns
from service.database.pool import Pool, Statement
from service.problems import Problem, SchemaBehind
from service.telemetry.metrics import Metrics

INTERVAL_SECONDS = 15.0
AGAIN_SECONDS = 0.5
"""Between two looks at a schema that is not whole: so late the pod comes back, and then the kubelet's probe."""

log = structlog.get_logger()

APPLIED = Statement(
    "schema_revision",
    "SELECT coalesce(max(split_part(version, '_', 1)::int), 0) FROM aerich WHERE app = 'models'",
    reads=True,
)
MISSING = Statement(
    "schema_columns",
    """SELECT array_agg(DISTINCT CASE WHEN to_regclass(held) IS NULL THEN held ELSE held || '.' || name END) AS missing
    FROM unnest($1::text[], $2::text[]) AS wanted (held, name)
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(held) AND attname = name)""",
    reads=True,
)


@dataclass
class Schema:
    """What is known of it. `missing` are tables and columns; `suspect` that a statement has just missed one."""

    expected: int
    applied: int = -1
    missing: tuple[str, ...] = ()
    suspect: bool = False

    def whole(self) -> bool:
        return self.applied >= self.expected and not self.missing and not self.suspect


class SchemaWatch:
    def __init__(self, schema: Schema, pool: Pool, background: Background, metrics: Metrics) -> None:
        self._schema = schema
        self._pool = pool
        self._background = background
        self._metrics = metrics
        self._wanted = columns()
        self._looks = False

    async def start(self) -> None:
        """Raises a Problem when the database cannot be asked."""
        await self._read()
        self._pool.on_schema_fault = self._suspect
        self._background.every("schema_watch", self._look, seconds=INTERVAL_SECONDS)

    def _suspect(self) -> None:
        """Not ready until looked at: the statement may have failed for a reason that a look does not find."""
        self._schema.suspect = True
        if not self._looks:
            self._looks = True
            self._background.spawn("schema_check", self._look_until_whole)

    async def _look(self) -> None:
        """While the database is away, what was known last stands."""
        with suppress(SchemaBehind):  # the pool has told of it
            await self._read()
        if not self._schema.whole():
            self._suspect()

    async def _look_until_whole(self) -> None:
        try:
            await self._clear_suspicion()
        finally:
            self._looks = False  # whatever ended it, the next round begins anew

    async def _clear_suspicion(self) -> None:
        told: Schema | None = None
        while self._schema.suspect:
            try:
                await self._read()
            except SchemaBehind:
                self._schema.applied = 0  # even the table of the revisions is gone
            except Problem:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._schema.suspect = self._schema.applied < self._schema.expected or bool(self._schema.missing)
            told = self._tell(told)
            if self._schema.suspect:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        rows = await self._pool.fetch(APPLIED)
        missing = await self._pool.fetch(MISSING, *self._wanted)
        self._schema.applied = rows[0][0]
        self._schema.missing = tuple(missing[0][0] or ())
        self._metrics.schema_revision(applied=self._schema.applied, expected=self._schema.expected)

    def _tell(self, told: Schema | None) -> Schema | None:
        """Once for each state, however often it is looked at. Returns the state told of."""
        if not self._schema.suspect:
            log.info("schema_whole", applied=self._schema.applied)
            return None
        now = Schema(self._schema.expected, self._schema.applied, self._schema.missing)
        if now != told:
            log.error("schema_behind", applied=now.applied, expected=now.expected, missing=now.missing)
        return now
