"""Questions to the warehouse: read from a request, put in a thread, with problems in the API's own words.

Knows no database: the warehouse computes while nobody waits for PostgreSQL.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.edge.services import Services
from api.kernel.errors import InvalidCursor
from api.metrics.errors import (
    FigureTooExpensive,
    InvalidParameter,
    UnknownMetric,
    UnknownWarehouseVersion,
    WarehouseNotReady,
    WarehouseVersionGone,
)
from contracts.warehouse import Group, Mart, Part, Speed
from metrics.answers import Figures
from metrics.errors import (
    ParameterError,
    TooExpensiveError,
    UnknownMetricError,
    UnknownVersionError,
    VersionGoneError,
    WarehouseNotReadyError,
)
from metrics.explain import Explanation
from metrics.kinds import KINDS
from metrics.parameters import Parameters, read
from metrics.query import Answer
from metrics.registry import Definition, definition_of
from metrics.restatements import Restatement
from metrics.rows import CellAddress, Page
from metrics.session import KeptVersion
from metrics.viewer import Viewer

T = TypeVar("T")

_log = logging.getLogger("sluice.api")

#: How long a new version's answer is waited for while an older one is at hand (a third of what a read may take), and
#: how old that one's version may be.
PATIENCE = timedelta(milliseconds=50)
OLDEST_KEPT = timedelta(minutes=1)

#: What every answer reads: organizations, people, teams.
_SHARED = Part(Group.SHARED, Speed.LIVE)


def read_question(name: str, given: Mapping[str, str]) -> tuple[Definition, Parameters]:
    """The definition that is asked, of the version that is asked for, and its parameters."""
    asked = dict(given)
    version = asked.pop("version", "")
    try:
        if version and not version.isdecimal():
            raise ParameterError("version", "must be a number")
        definition = definition_of(name, int(version) if version else None)
        if definition.kind not in KINDS:
            _log.error("metric %s is of kind %s, which this code does not know: ./sluice reload", name, definition.kind)
            raise UnknownMetricError(name)
        return definition, read(definition, asked)
    except UnknownMetricError:
        raise UnknownMetric from None
    except ParameterError as error:
        raise InvalidParameter(error) from error


def read_address(definition: Definition, parameters: Parameters, cell: Mapping[str, str]) -> CellAddress:
    """The cell that the query names. `owner_id` and `team_id` are other names for the group they are the key of."""
    measure = cell.get("measure") or definition.measures[0].name
    stage_id = cell.get("stage_id") or None
    if stage_id is not None and (parsed := as_id(stage_id)):
        stage_id = str(parsed)
    return CellAddress(measure=measure, stage_id=stage_id, group=_group(parameters.group_by, cell))


def _group(group_by: str, cell: Mapping[str, str]) -> str | None:
    owner, team = cell.get("owner_id"), cell.get("team_id")
    if group_by == "owner" and owner:
        return owner
    if group_by in {"team", "top_team"} and team and not owner:
        return team
    if owner or (team and group_by != "owner"):
        field = "owner_id" if owner else "team_id"
        raise InvalidParameter(ParameterError(field, f"names no group of an answer by {group_by}"))
    return cell.get("group") or None


def place_after(found: Page) -> list[str]:
    """Where the next page goes on: it also fixes what the first page took by default."""
    asked = [found.as_of, found.first_day, found.end_day]
    return [*(value.isoformat() for value in asked), str(found.last_id)]


def continued(values: list[Any], parameters: Parameters) -> tuple[UUID, Parameters]:
    """The id after which a page begins, and the parameters as the first page read them."""
    if len(values) != 4:
        raise InvalidCursor
    as_of, first_day, end_day, last_id = values
    fixed = {
        "as_of": datetime.fromisoformat(as_of),
        "start": date.fromisoformat(first_day),
        "end": date.fromisoformat(end_day),
    }
    return UUID(last_id), parameters.model_copy(update=fixed)


def as_id(value: object) -> UUID | None:
    """The id that a text is; a group may also be a month or a word."""
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None


def figures_of(services: Services) -> Figures:
    """The warehouse of this API."""
    if services.figures is None:
        raise WarehouseNotReady("This API has no warehouse (SLUICE_WAREHOUSE_URL).")
    return services.figures


async def at_version(services: Services, name: str, given: dict[str, str]) -> Services:
    """The services as of the version of the warehouse that is `given` by name, which is taken out."""
    asked = given.pop("warehouse_version", "")
    if not asked:
        return services
    figures = figures_of(services)
    try:
        mart = Mart.named(definition_of(name).entity.mart)
        parts = {_SHARED, *([Part(mart.group, mart.speed)] if mart else [])}
        with _problems(services):
            return replace(services, figures=await run_in_threadpool(figures.at, asked, parts))
    except UnknownMetricError:
        raise UnknownMetric from None


async def find_answer(
    services: Services,
    definition: Definition,
    parameters: Parameters,
    *,
    viewer: Viewer,
    now: datetime,
    is_patient: bool,
) -> Answer:
    """The answer from the current version of the warehouse.

    Where that takes longer than `PATIENCE`, the one from a version of the last minute that answered the same question;
    the patient wait.
    """
    figures = figures_of(services)
    compute = partial(figures.answer, definition, parameters, viewer=viewer, now=now)
    with _problems(services):
        kept, version = await run_in_threadpool(
            lambda: (figures.kept(definition, parameters, viewer=viewer, now=now), figures.current())
        )
        if kept is not None and kept.version == version:
            return kept.answer
        if kept is None or is_patient or now - kept.version.published_at > OLDEST_KEPT:
            return await _in_figure_thread(services, compute)
        return await _in_time(_in_figure_thread(services, compute), otherwise=kept.answer)


async def find_versions(services: Services) -> list[KeptVersion]:
    """The versions that can be asked by name, newest first."""
    with _problems(services):
        return await run_in_threadpool(figures_of(services).kept_versions)


async def explain_answer(
    services: Services, definition: Definition, parameters: Parameters, *, viewer: Viewer, now: datetime
) -> Explanation:
    """The answer from the current version of the warehouse, computed now, with its statements."""
    explain = figures_of(services).explain
    with _problems(services):
        return await _in_figure_thread(services, partial(explain, definition, parameters, viewer=viewer, now=now))


async def find_rows(
    services: Services,
    definition: Definition,
    parameters: Parameters,
    cell: CellAddress,
    *,
    viewer: Viewer,
    now: datetime,
    limit: int,
    after: UUID | None,
) -> Page:
    """The facts behind a figure, from the current version of the warehouse."""
    rows = figures_of(services).rows
    with _problems(services):
        return await _in_figure_thread(
            services, partial(rows, definition, parameters, cell, viewer=viewer, now=now, limit=limit, after=after)
        )


async def find_restatements(
    services: Services,
    definition: Definition,
    parameters: Parameters,
    cell: CellAddress,
    *,
    earlier: datetime | date,
    viewer: Viewer,
    now: datetime,
    most: int,
) -> Restatement:
    """What changed a figure since it was known at `earlier`."""
    ask = figures_of(services).restatements
    with _problems(services):
        return await _in_figure_thread(
            services, partial(ask, definition, parameters, cell, earlier=earlier, viewer=viewer, now=now, most=most)
        )


@contextmanager
def _problems(services: Services) -> Iterator[None]:
    """What the warehouse finds wrong with a question is the caller's to know."""
    try:
        yield
    except UnknownVersionError:
        raise UnknownWarehouseVersion from None
    except VersionGoneError as error:
        raise gone(services, str(error)) from error
    except ParameterError as error:
        raise InvalidParameter(error) from error
    except TooExpensiveError as error:
        raise FigureTooExpensive(str(error)) from error
    except WarehouseNotReadyError as error:
        if services.figures is not None and services.figures.asked_version is not None:  # it will not come to hold more
            raise gone(services, "This version of the figures does not hold what is asked.") from error
        raise WarehouseNotReady(str(error)) from error


def gone(services: Services, reason: str) -> WarehouseVersionGone:
    """A version by name that cannot answer, with how long versions are kept."""
    return WarehouseVersionGone(reason, days=services.warehouse.warehouse_kept_days if services.warehouse else 0)


def _in_figure_thread(services: Services, compute: Callable[[], T]) -> asyncio.Future[T]:
    return asyncio.get_running_loop().run_in_executor(services.figure_threads, compute)


async def _in_time(computing: asyncio.Future[Answer], *, otherwise: Answer) -> Answer:
    """What is computed within `PATIENCE`; else what was computed before, and the next to ask gets the other."""
    done, _ = await asyncio.wait({computing}, timeout=PATIENCE.total_seconds())
    if done:
        return await computing
    computing.add_done_callback(_tell_failure)
    return otherwise


def _tell_failure(computing: asyncio.Future[Answer]) -> None:
    if not computing.cancelled() and (error := computing.exception()):
        _log.warning("a figure nobody waited for could not be computed", exc_info=error)
