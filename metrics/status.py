"""State of the pipeline behind the numbers: checks and the last refresh.

Orchestration writes, the API reads. `status.json` beside the published versions, or table
`published.pipeline_status`; it speaks of the installation as a whole. Of that, everybody is told what `for_everybody`
leaves: no count and no row of another organization.
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from contracts import locks
from contracts.warehouse import PUBLISHED_SCHEMA
from metrics.publication import PublishedFolder, is_duckdb, replace_file, warehouse_folder


class CheckState(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAILED = "failed"


class RefreshState(StrEnum):
    """How a refresh of the marts stands."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"


class Check(BaseModel):
    """Result of one data check. `message` is for operators: it may count and name rows of any organization; `holds`
    says to everybody what the check looks for.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    status: CheckState
    message: str = ""
    finished_at: datetime | None = None
    holds: str = ""


class Refresh(BaseModel):
    """The last attempt to build and publish the marts. `error` is for operators, as a check's message is."""

    model_config = ConfigDict(frozen=True)

    status: RefreshState
    started_at: datetime
    finished_at: datetime | None = None
    error: str | None = None


class GroupStatus(BaseModel):
    """How a group of models stands, as far as it has one speed.

    With an `error` it stays as it was published before; `through` is how far it knew all events then, `version` the one
    in which its rows changed last. The error is for operators, `why` says the same to everybody.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str | None = None
    through: datetime | None = None
    error: str | None = None
    why: str | None = None


class PipelineStatus(BaseModel):
    """Everything known about the pipeline; empty before its first run."""

    model_config = ConfigDict(frozen=True)

    checks: list[Check] = []
    last_refresh: Refresh | None = None
    groups: list[GroupStatus] = []

    def for_everybody(self) -> "PipelineStatus":
        """The same for people of any organization."""
        checks = [check.model_copy(update={"message": check.holds}) for check in self.checks]
        groups = [
            group.model_copy(update={"error": (group.why or _NOT_UPDATED) if group.error else None})
            for group in self.groups
        ]
        refresh = self.last_refresh
        if refresh is not None and refresh.error:
            reasons = [f"{group.name}: {group.error}" for group in groups if group.error]
            refresh = refresh.model_copy(update={"error": "; ".join(reasons) or _NOT_UPDATED})
        return PipelineStatus(checks=checks, last_refresh=refresh, groups=groups)


_NOT_UPDATED = "It could not be brought up to date; whoever runs Sluice sees why in Dagster."


class StatusStore(Protocol):
    """Where the status lives: one implementation per warehouse."""

    def read(self) -> PipelineStatus:
        """The status as last written."""
        ...

    def update(
        self,
        *,
        checks: list[Check] | None = None,
        last_refresh: Refresh | None = None,
        groups: list[GroupStatus] | None = None,
    ) -> None:
        """Replace the given sections and keep the others."""
        ...


class FileStatusStore:
    """`published/status.json`: replaced by an atomic rename, writers take turns by a lock file."""

    def __init__(self, warehouse: Path) -> None:
        self._path = PublishedFolder(warehouse).root / "status.json"

    def read(self) -> PipelineStatus:
        """The status as last written."""
        try:
            return PipelineStatus.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return PipelineStatus()

    def update(
        self,
        *,
        checks: list[Check] | None = None,
        last_refresh: Refresh | None = None,
        groups: list[GroupStatus] | None = None,
    ) -> None:
        """Replace the given sections and keep the others."""
        sections = _sections(checks, last_refresh, groups)
        with self._turn():
            status = self.read().model_dump(mode="json") | sections
            replace_file(self._path, json.dumps(status, indent=2) + "\n")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class PostgresStatusStore:
    """Table `published.pipeline_status`: one row per section."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self) -> PipelineStatus:
        """The status as last written."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            try:
                rows = connection.execute(f"select section, body from {PUBLISHED_SCHEMA}.pipeline_status").fetchall()
            except psycopg.errors.UndefinedTable:
                return PipelineStatus()
        return PipelineStatus.model_validate(dict(rows))

    def update(
        self,
        *,
        checks: list[Check] | None = None,
        last_refresh: Refresh | None = None,
        groups: list[GroupStatus] | None = None,
    ) -> None:
        """Replace the given sections and keep the others."""
        with psycopg.connect(self._url) as connection:
            # Two first writers at once must not collide on the catalog.
            connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (locks.PIPELINE_STATUS,))
            connection.execute(f"create schema if not exists {PUBLISHED_SCHEMA}")
            connection.execute(
                f"create table if not exists {PUBLISHED_SCHEMA}.pipeline_status "
                "(section text primary key, body jsonb not null, written_at timestamptz not null default now())"
            )
            for section, body in _sections(checks, last_refresh, groups).items():
                connection.execute(
                    f"insert into {PUBLISHED_SCHEMA}.pipeline_status (section, body) values (%s, %s) "
                    "on conflict (section) do update set body = excluded.body, written_at = now()",
                    (section, Jsonb(body)),
                )


def open_status_store(warehouse_url: str) -> StatusStore:
    """The status store of a warehouse (`duckdb:///folder` or `postgresql://…`)."""
    if is_duckdb(warehouse_url):
        return FileStatusStore(warehouse_folder(warehouse_url))
    return PostgresStatusStore(warehouse_url)


def _sections(
    checks: list[Check] | None, last_refresh: Refresh | None, groups: list[GroupStatus] | None
) -> dict[str, Any]:
    given = {"checks": checks, "last_refresh": last_refresh, "groups": groups}
    status = PipelineStatus.model_validate({name: value for name, value in given.items() if value is not None})
    return status.model_dump(mode="json", include={name for name, value in given.items() if value is not None})
