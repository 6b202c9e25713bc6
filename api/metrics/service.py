"""Asks the warehouse for a caller, in a thread, and adds what only PostgreSQL knows: names, titles, what is behind."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.concurrency import run_in_threadpool

from api.db.session import between_transactions
from api.edge.pages import Pagination
from api.edge.services import Services
from api.kernel.caller import Caller
from api.kernel.errors import InvalidCursor, NotFound
from api.kernel.visibility import visible_users
from api.metrics import repository
from api.metrics.errors import FigureTooExpensive, InvalidParameter, UnknownMetric, WarehouseNotReady
from api.metrics.pipeline import alarms, read_reports
from api.metrics.schemas import (
    Behind,
    DealBehind,
    FactBehind,
    FactsBehind,
    FreshnessRead,
    MetricAnswer,
    MetricRead,
    Total,
    VersionRead,
)
from metrics.answers import Figures
from metrics.errors import (
    ParameterError,
    TooExpensiveError,
    UnknownMetricError,
    UnknownPipelineError,
    WarehouseNotReadyError,
)
from metrics.parameters import Parameters, read
from metrics.query import Answer
from metrics.registry import Definition, definition_of, definitions, registry
from metrics.rows import CellAddress
from metrics.rows import Page as Found
from metrics.status import PipelineStatus, open_status_store
from metrics.viewer import Viewer

T = TypeVar("T")

_log = logging.getLogger("sluice.api")

#: How long a new version's answer is waited for while an older one is at hand (a third of what a read may take), and
#: how old that one's version may be.
PATIENCE = timedelta(milliseconds=50)
OLDEST_KEPT = timedelta(minutes=1)


def list_metrics() -> list[MetricRead]:
    """Every metric's present definition with the versions that led to it."""
    return [_describe(metric) for metric in definitions().values()]


def _describe(metric: Definition) -> MetricRead:
    known = registry().versions(metric.name)
    changelog = [
        VersionRead(
            version=change.version,
            on=change.on,
            change=change.change,
            definition=known[change.version].definition if change.version in known else None,
        )
        for change in metric.changelog
    ]
    return MetricRead(
        **metric.model_dump(include=set(MetricRead.model_fields) - {"entity", "measures", "definition", "changelog"}),
        entity=metric.entity.name,
        measures=[measure.name for measure in metric.measures],
        definition=metric.definition,
        changelog=changelog,
    )


def _ask(name: str, given: Mapping[str, str]) -> tuple[Definition, Parameters]:
    """The definition that is asked, of the version that is asked for, and its parameters."""
    asked = dict(given)
    version = asked.pop("version", "")
    try:
        if version and not version.isdecimal():
            raise ParameterError("version", "must be a number")
        definition = definition_of(name, int(version) if version else None)
        return definition, read(definition, asked)
    except UnknownMetricError:
        raise UnknownMetric from None
    except ParameterError as error:
        raise InvalidParameter(error) from error


async def answer_metric(
    session: AsyncSession,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    is_patient: bool = False,
) -> MetricAnswer:
    """A metric's figures as far as the caller sees them, from the current version of the warehouse.

    Where that takes longer than `PATIENCE`, from a version of the last minute that answered the same question; the
    patient wait.
    """
    definition, parameters = _ask(name, given)
    figures, viewer = _figures(services), await _viewer(session, caller)
    now = datetime.now(UTC)
    compute = partial(figures.answer, definition, parameters, viewer=viewer, now=now)
    async with _asking(session, caller, parameters):
        kept, version = await run_in_threadpool(
            lambda: (figures.kept(definition, parameters, viewer=viewer, now=now), figures.current())
        )
        if kept is not None and kept.version == version:
            answer = kept.answer
        elif kept is None or is_patient or now - kept.version.published_at > OLDEST_KEPT:
            answer = await _in_figure_thread(services, compute)
        else:
            answer = await _in_time(_in_figure_thread(services, compute), otherwise=kept.answer)
    labels = await _labels(session, caller, definition, answer.rows)
    behind = await repository.events_after(session, caller.organization_id, answer.through)
    return MetricAnswer(
        metric=answer.metric,
        version=answer.version,
        definition=answer.definition,
        parameters=answer.parameters,
        as_of=answer.as_of,
        warehouse_version=answer.warehouse_version,
        freshness=Behind(through=answer.through, events_behind=behind),
        rows=answer.rows,
        labels=answer.labels | labels,
        notes=answer.notes,
    )


async def list_facts_behind(
    session: AsyncSession,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    cell: Mapping[str, str],
    page: Pagination,
) -> FactsBehind:
    """The facts behind one figure. Later pages speak of the same instant as the first."""
    definition, parameters = _ask(name, given)
    address = _address(definition, parameters, cell)
    after = None
    if page.after is not None:
        after, parameters = _continue(page.after, parameters)
    figures, viewer = _figures(services), await _viewer(session, caller)
    find = partial(
        figures.rows,
        definition,
        parameters,
        address,
        viewer=viewer,
        now=datetime.now(UTC),
        limit=page.limit,
        after=after,
    )
    async with _asking(session, caller, parameters):
        found = await _in_figure_thread(services, find)
    items = await _shown(session, caller, definition, found.items)
    labels = await _labels(session, caller, definition, found.items)
    stages = {str(item.get("stage_id")) for item in found.items}
    return FactsBehind(
        entity=definition.entity.name,
        items=items,
        next_cursor=_next(page, found) if found.has_more else None,
        total=Total(count=found.count, amount_minor=found.amount_minor),
        labels={key: label for key, label in found.labels.items() if key in stages} | labels,
        as_of=found.as_of,
        warehouse_version=found.warehouse_version,
    )


async def _shown(
    session: AsyncSession, caller: Caller, definition: Definition, found: list[dict[str, Any]]
) -> list[DealBehind | FactBehind]:
    """Facts as they are listed; deals bear their titles."""
    if definition.entity.name != "deal":
        return [FactBehind(**item) for item in found]
    titles = await repository.titles(session, caller.organization_id, [UUID(item["deal_id"]) for item in found])
    return [DealBehind(**item, title=titles.get(UUID(item["deal_id"]))) for item in found]


async def read_freshness(session: AsyncSession, caller: Caller, *, services: Services) -> FreshnessRead:
    """How far the warehouse is behind, and what its checks say. Answers also before anything is published."""
    viewer = Viewer(organization_id=caller.organization_id)
    version, through, status = await run_in_threadpool(_freshness, services, viewer)
    return FreshnessRead(
        warehouse_version=version.version if version else None,
        published_at=version.published_at if version else None,
        through=through,
        events_behind=await repository.events_after(session, caller.organization_id, through),
        processes=await repository.processes(session),
        alarms=alarms(await read_reports(session)),
        checks=status.checks,
        last_refresh=status.last_refresh,
        reconciliation=await repository.reconciliation(session, caller.organization_id),
    )


def _freshness(services: Services, viewer: Viewer) -> tuple[Any, datetime | None, PipelineStatus]:
    if services.warehouse is None or services.figures is None:
        return None, None, PipelineStatus()
    status = open_status_store(services.warehouse.warehouse_url.get_secret_value()).read()
    try:
        return services.figures.current(), services.figures.through(viewer), status
    except WarehouseNotReadyError:
        return None, None, status
    except TooExpensiveError as error:
        raise FigureTooExpensive(str(error)) from error


def _figures(services: Services) -> Figures:
    if services.figures is None:
        raise WarehouseNotReady("This API has no warehouse (SLUICE_WAREHOUSE_URL).")
    return services.figures


async def _viewer(session: AsyncSession, caller: Caller) -> Viewer:
    return Viewer(organization_id=caller.organization_id, owner_ids=await visible_users(session, caller))


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


@asynccontextmanager
async def _asking(session: AsyncSession, caller: Caller, parameters: Parameters) -> AsyncIterator[None]:
    """Ask the warehouse without keeping a connection; what it finds wrong with a question is the caller's to know."""
    try:
        async with between_transactions(session, caller.organization_id):
            yield
    except ParameterError as error:
        raise InvalidParameter(error) from error
    except TooExpensiveError as error:
        raise FigureTooExpensive(str(error)) from error
    except WarehouseNotReadyError as error:
        raise WarehouseNotReady(str(error)) from error
    except UnknownPipelineError as error:
        pipeline_id = parameters.pipeline_id
        is_on_its_way = (
            pipeline_id is not None
            and parameters.as_of is None
            and await repository.has_pipeline(session, caller.organization_id, pipeline_id)
        )
        if is_on_its_way:
            raise WarehouseNotReady("The warehouse does not hold this pipeline yet.") from error
        raise NotFound("pipeline") from error


def _address(definition: Definition, parameters: Parameters, cell: Mapping[str, str]) -> CellAddress:
    """The cell that the query names. `owner_id` and `team_id` are other names for the group they are the key of."""
    measure = cell.get("measure") or definition.measures[0].name
    stage_id = cell.get("stage_id") or None
    if stage_id is not None and (parsed := _as_id(stage_id)):
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


def _next(page: Pagination, found: Found) -> str:
    """The cursor of the next page: it also fixes what the first page took by default."""
    asked = [found.as_of, found.first_day, found.end_day]
    return page.cursor([*(value.isoformat() for value in asked), str(found.last_id)])


def _continue(values: list[Any], parameters: Parameters) -> tuple[UUID, Parameters]:
    if len(values) != 4:
        raise InvalidCursor
    as_of, first_day, end_day, last_id = values
    fixed = {
        "as_of": datetime.fromisoformat(as_of),
        "start": date.fromisoformat(first_day),
        "end": date.fromisoformat(end_day),
    }
    return UUID(last_id), parameters.model_copy(update=fixed)


async def _labels(
    session: AsyncSession, caller: Caller, definition: Definition, rows: Iterable[Mapping[str, Any]]
) -> dict[str, str]:
    fields = definition.entity.named | {"group", "owner_id", "team_id"}
    wanted: Collection[UUID] = {key for row in rows for key in _ids(row, fields)}
    found = await repository.names(session, caller.organization_id, wanted)
    return {str(key): name for key, name in found.items()}


def _ids(row: Mapping[str, Any], fields: Collection[str]) -> Iterator[UUID]:
    for value in (*(row.get(field) for field in fields), *row.get("lost_reasons", {})):
        if key := _as_id(value):
            yield key


def _as_id(value: object) -> UUID | None:
    """The id that a text is; a group may also be a month or a word."""
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None
