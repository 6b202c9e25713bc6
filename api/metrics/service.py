"""Answers for a caller: the warehouse's, with what only PostgreSQL knows: names, titles, what is behind."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.edge.pages import Pagination
from api.edge.services import Services
from api.kernel.caller import Caller
from api.kernel.errors import NotFound
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.visibility import owners_seen
from api.metrics import channels, records
from api.metrics.asking import (
    as_id,
    continued,
    figures_of,
    find_answer,
    find_restatements,
    find_rows,
    find_versions,
    place_after,
    read_address,
    read_question,
)
from api.metrics.errors import FigureTooExpensive, InvalidParameter, WarehouseNotReady
from api.metrics.pipeline import alarms
from api.metrics.schemas import (
    Behind,
    DealBehind,
    FactBehind,
    FactsBehind,
    FreshnessRead,
    MetricAnswer,
    MetricRead,
    OtherCurrency,
    Restated,
    RestatementsRead,
    Total,
    VersionRead,
    WarehouseVersionRead,
)
from metrics.errors import ParameterError, TooExpensiveError, UnknownPipelineError, WarehouseNotReadyError
from metrics.parameters import Parameters
from metrics.publication import PublishedVersion
from metrics.registry import Definition, definitions, registry
from metrics.session import KeptVersion
from metrics.status import GroupStatus, PipelineStatus, open_status_store
from metrics.viewer import Viewer

#: Facts that a list of restatements names one by one.
_MOST_RESTATED = 1_000


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


@dataclass(frozen=True)
class Answered:
    """An answer's body, and what is said of it in headers: it is of today, whatever was asked."""

    body: MetricAnswer
    warehouse_version: str
    through: datetime | None
    events_behind: int

    @property
    def is_for_ever(self) -> bool:
        """Whether the body holds nothing of today."""
        return self.body.freshness is None


async def answer_metric(
    unit: UnitOfWork, caller: Caller, *, services: Services, name: str, given: Mapping[str, str], is_patient: bool
) -> Answered:
    """A metric's figures as far as the caller sees them."""
    definition, parameters, has_names = _read(name, given)
    figures_of(services)  # without a warehouse nothing else is worth asking
    viewer = await _viewer(unit, caller)
    async with _whose_pipeline(unit, parameters, services):
        answer = await find_answer(
            services, definition, parameters, viewer=viewer, now=figures_of(services).now(), is_patient=is_patient
        )
    ids = _ids(definition, answer.rows) if has_names else set()
    names, behind = await records.names_and_behind(unit, ids, answer.through)
    is_of_today = parameters.as_of is None
    body = MetricAnswer(
        metric=answer.metric,
        version=answer.version,
        definition=answer.definition,
        parameters=answer.parameters,
        as_of=answer.as_of,
        warehouse_version=answer.warehouse_version if is_of_today else None,
        freshness=Behind(through=answer.through, events_behind=behind) if is_of_today else None,
        rows=answer.rows,
        totals=answer.totals,
        labels=dict(sorted((answer.labels | names).items())),
        notes=answer.notes,
        other_currencies=[OtherCurrency(**other) for other in answer.other_currencies],
    )
    return Answered(body, answer.warehouse_version, answer.through, behind)


def _read(name: str, given: Mapping[str, str]) -> tuple[Definition, Parameters, bool]:
    """The question, and whether the answer shall name people and deals as they are called today.

    It does, but where `as_of` asks for an answer that stays as it is.
    """
    asked = dict(given)
    names = asked.pop("names", "")
    definition, parameters = read_question(name, asked)
    if names not in {"", "today", "then"}:
        raise InvalidParameter(ParameterError("names", "must be today or then"))
    return definition, parameters, names == "today" or (not names and parameters.as_of is None)


async def list_facts_behind(
    unit: UnitOfWork,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    cell: Mapping[str, str],
    page: Pagination,
) -> FactsBehind:
    """The facts behind one figure. Later pages speak of the same instant as the first."""
    found, place = await facts_behind(
        unit, caller, services=services, name=name, given=given, cell=cell, limit=page.limit, after=page.after
    )
    return found.model_copy(update={"next_cursor": page.cursor(place) if place else None})


async def facts_behind(
    unit: UnitOfWork,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    cell: Mapping[str, str],
    limit: int,
    after: list[Any] | None = None,
) -> tuple[FactsBehind, list[str] | None]:
    """Facts behind one figure from a place on, and the place after them; None where there are no more."""
    definition, parameters, has_names = _read(name, given)
    is_of_today = parameters.as_of is None
    address = read_address(definition, parameters, cell)
    after_id = None
    if after is not None:
        after_id, parameters = continued(after, parameters)
    figures_of(services)
    viewer, now = await _viewer(unit, caller), figures_of(services).now()
    async with _whose_pipeline(unit, parameters, services):
        found = await find_rows(
            services, definition, parameters, address, viewer=viewer, now=now, limit=limit, after=after_id
        )
    has_titles = definition.entity.name == "deal"
    deal_ids = [UUID(item["deal_id"]) for item in found.items] if has_titles and has_names else []
    ids = _ids(definition, found.items) if has_names else set()
    names, titles = await records.names_and_titles(unit, ids, deal_ids)
    stages = {str(item.get("stage_id")) for item in found.items}
    behind = FactsBehind(
        entity=definition.entity.name,
        items=[
            DealBehind(**item, title=titles.get(item["deal_id"])) if has_titles else FactBehind(**item)
            for item in found.items
        ],
        next_cursor=None,
        total=Total(
            count=found.count,
            amount_minor=found.amount_minor,
            currency=None if found.amount_minor is None else found.currency,
        ),
        labels=dict(sorted(({key: label for key, label in found.labels.items() if key in stages} | names).items())),
        as_of=found.as_of,
        warehouse_version=found.warehouse_version if is_of_today else None,
    )
    return behind, place_after(found) if found.has_more else None


async def list_restatements(
    unit: UnitOfWork,
    caller: Caller,
    *,
    services: Services,
    name: str,
    given: Mapping[str, str],
    cell: Mapping[str, str],
) -> RestatementsRead:
    """The facts that changed a figure between two instants of knowledge."""
    asked = dict(given)
    earlier, later = asked.pop("from_as_of", ""), asked.pop("to_as_of", "")
    definition, known = read_question(name, asked | {"as_of": earlier})
    if known.as_of is None or "as_of" in given:
        raise InvalidParameter(ParameterError("from_as_of", "is required, and to_as_of takes the place of as_of"))
    _, parameters = read_question(name, asked | {"as_of": later})
    address = read_address(definition, parameters, cell)
    viewer, now = await _viewer(unit, caller), figures_of(services).now()
    async with _whose_pipeline(unit, parameters, services):
        found = await find_restatements(
            services,
            definition,
            parameters,
            address,
            earlier=known.as_of,
            viewer=viewer,
            now=now,
            most=_MOST_RESTATED,
        )
    return RestatementsRead(
        metric=name,
        measure=address.measure,
        from_as_of=found.from_as_of,
        to_as_of=found.to_as_of,
        before=found.before,
        after=found.after,
        difference=found.difference,
        items=[Restated(**item) for item in found.items],
        others=found.others,
        others_difference=found.others_difference,
    )


async def read_freshness(unit: UnitOfWork, caller: Caller, *, services: Services) -> FreshnessRead:
    """How far the warehouse is behind, and what its checks say. Answers also before anything is published."""
    viewer = Viewer(organization_id=caller.organization_id)
    version, through, status = await run_in_threadpool(_freshness, services, viewer)
    state = await records.state(unit, through)
    return FreshnessRead(
        warehouse_version=version.version if version else None,
        published_at=version.published_at if version else None,
        through=through,
        events_behind=state.events_behind,
        processes=state.processes,
        alarms=[*alarms(state.reports), *await channels.alarms(unit)],
        checks=status.checks,
        last_refresh=status.last_refresh,
        groups=status.groups,
        reconciliation=state.reconciliation,
    )


async def list_versions(services: Services) -> list[WarehouseVersionRead]:
    """The versions of the figures that can be asked by name, newest first; none before the first one."""
    with suppress(WarehouseNotReady):
        current, *kept = await find_versions(services)
        return [_describe_version(one, is_current=one is current) for one in (current, *kept)]
    return []


def _describe_version(kept: KeptVersion, *, is_current: bool) -> WarehouseVersionRead:
    record = kept.record or {}
    groups = [
        GroupStatus(name=name, version=part["version"], through=part["through"])
        for name, part in sorted(record.get("parts", {}).items())
    ]
    return WarehouseVersionRead(
        version=kept.version.version,
        published_at=kept.version.published_at,
        is_current=is_current,
        groups=groups,
        checks=record.get("checks") or {},
    )


def _freshness(services: Services, viewer: Viewer) -> tuple[PublishedVersion | None, datetime | None, PipelineStatus]:
    if services.warehouse is None or services.figures is None:
        return None, None, PipelineStatus()
    status = open_status_store(services.warehouse.warehouse_url.get_secret_value()).read().for_everybody()
    try:
        return services.figures.current(), services.figures.through(viewer), status
    except WarehouseNotReadyError:
        return None, None, status
    except TooExpensiveError as error:
        raise FigureTooExpensive(str(error)) from error


async def _viewer(unit: UnitOfWork, caller: Caller) -> Viewer:
    return Viewer(organization_id=caller.organization_id, owner_ids=await owners_seen(unit, caller))


@asynccontextmanager
async def _whose_pipeline(unit: UnitOfWork, parameters: Parameters, services: Services) -> AsyncIterator[None]:
    """A pipeline that the warehouse does not know may be on its way there; else there is none."""
    try:
        yield
    except UnknownPipelineError as error:
        pipeline_id = parameters.pipeline_id
        is_of_now = parameters.as_of is None and figures_of(services).asked_version is None
        if pipeline_id is not None and is_of_now and await records.has_pipeline(unit, pipeline_id):
            raise WarehouseNotReady("The warehouse does not hold this pipeline yet.") from error
        raise NotFound("pipeline") from error


def _ids(definition: Definition, rows: Iterable[Mapping[str, Any]]) -> set[UUID]:
    """Ids in the rows of what people know by a name in PostgreSQL."""
    fields = definition.entity.named | {"group", "owner_id", "team_id"}
    return {
        key
        for row in rows
        for value in (*(row.get(field) for field in fields), *row.get("lost_reasons", {}))
        if (key := as_id(value))
    }
