"""`/v1/metrics`: definitions, figures, and the facts behind them. `/v1/freshness`: how fresh the figures are.
`/v1/warehouse-versions`: which versions of them can be asked by name.

Parameters are read by the metric's own definition, so that one of another metric is refused and not ignored; they are
declared here for the documentation.
"""

import hashlib
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api.edge.dependencies import CurrentCaller, Unit
from api.edge.pages import Page, PageOf
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.kernel.errors import InvalidCursor, NotFound
from api.metrics import arrow, download, service
from api.metrics.asking import at_version
from api.metrics.errors import (
    FigureTooExpensive,
    InvalidParameter,
    UnknownMetric,
    UnknownWarehouseVersion,
    WarehouseNotReady,
    WarehouseVersionGone,
)
from api.metrics.explaining import MetricExplanation, explain_metric
from api.metrics.schemas import (
    FactsBehind,
    FreshnessRead,
    MetricAnswer,
    MetricRead,
    RestatementsRead,
    WarehouseVersionRead,
)

metrics_router = slice_router(prefix="/metrics", tags=["metrics"])
versions_router = slice_router(prefix="/warehouse-versions", tags=["metrics"])
freshness_router = slice_router(prefix="/freshness", tags=["metrics"])

_PAGE_FIELDS = frozenset({"limit", "cursor"})
_CELL_FIELDS = frozenset({"measure", "stage_id", "group", "owner_id", "team_id"})
_ERRORS = (
    NotFound,
    UnknownMetric,
    UnknownWarehouseVersion,
    WarehouseVersionGone,
    InvalidParameter,
    WarehouseNotReady,
    FigureTooExpensive,
)

Text = Annotated[str | None, Query(max_length=100)]


async def _given(
    request: Request,
    pipeline_id: Annotated[Text, Query(description="One pipeline; some metrics also answer for all.")] = None,
    start: Annotated[Text, Query(alias="from", description="First day, in the organization's zone.")] = None,
    end: Annotated[Text, Query(alias="to", description="The day after the last one.")] = None,
    cohort: Annotated[Text, Query(description="created, closed or entered:<stage_id>.")] = None,
    order: Annotated[Text, Query(description="reached, visited or strict.")] = None,
    regress: Annotated[Text, Query(description="furthest or current.")] = None,
    window_days: Annotated[Text, Query(description="A step counts within so many days of entering.")] = None,
    unit: Annotated[Text, Query(description="deals or amount.")] = None,
    group_by: Annotated[
        Text, Query(description="One of the metric's dimensions; a custom field as custom:<field_id>.")
    ] = None,
    currency: Annotated[
        Text, Query(description="ISO 4217 code that sums are in; the organization's if left out.")
    ] = None,
    custom: Annotated[Text, Query(description="<field_id>:<value> of a custom field: only what has it.")] = None,
    from_stage: Annotated[Text, Query(description="Stage from which time is taken; the beginning if left out.")] = None,
    to_stage: Annotated[Text, Query(description="Stage up to which it is; any won one if left out.")] = None,
    as_of: Annotated[Text, Query(description="What was known then: an instant, or a day's end.")] = None,
    at: Annotated[Text, Query(description="The instant that a stock speaks of; as_of if left out.")] = None,
    before_from: Annotated[Text, Query(description="First day of the period to compare with.")] = None,
    before_to: Annotated[Text, Query(description="The day after its last one.")] = None,
    before_whose: Annotated[
        Text, Query(description="Whose deals to compare with: owner:<user_id>, team:<team_id> or everybody.")
    ] = None,
    before_as_of: Annotated[Text, Query(description="When what it is compared with was known.")] = None,
    stalled_days: Annotated[Text, Query(description="Days in a stage without a target of its own; 30.")] = None,
    whose: Annotated[
        Text, Query(description="owner:<user_id> or team:<team_id>: of what you see only theirs; any metric takes it.")
    ] = None,
    version: Annotated[Text, Query(description="A version of the definition; the present one if left out.")] = None,
    warehouse_version: Annotated[
        Text, Query(description="A kept version of the figures by its name, asked as if it were its day.")
    ] = None,
    names: Annotated[
        Text, Query(description="today adds names of people and deals as they are now; then (with as_of) does not.")
    ] = None,
) -> dict[str, str]:
    # the values reach the metric as they came; only a plus sign in an instant is worth mending, which it does itself
    del (
        pipeline_id,
        start,
        end,
        cohort,
        order,
        regress,
        window_days,
        unit,
        group_by,
        currency,
        custom,
        from_stage,
        to_stage,
        as_of,
        at,
        before_from,
        before_to,
        before_whose,
        before_as_of,
        stalled_days,
        whose,
        version,
        warehouse_version,
        names,
    )
    return dict(request.query_params)


async def _cell(
    request: Request,
    measure: Annotated[Text, Query(description="A figure's name; the metric's first one if left out.")] = None,
    stage_id: Annotated[Text, Query(description="The stage whose figure it is.")] = None,
    group: Annotated[Text, Query(description="The row's group; `none` for the group without one.")] = None,
    owner_id: Annotated[Text, Query(description="The row's owner, in an answer by owner.")] = None,
    team_id: Annotated[Text, Query(description="The row's team, in an answer by team.")] = None,
) -> dict[str, str]:
    del measure, stage_id, group, owner_id, team_id
    return {name: value for name, value in request.query_params.items() if name in _CELL_FIELDS}


Given = Annotated[dict[str, str], Depends(_given)]
Cell = Annotated[dict[str, str], Depends(_cell)]


@metrics_router.get("")
async def list_metrics(caller: CurrentCaller) -> PageOf[MetricRead]:
    """List every metric with its definition."""
    del caller  # signed in is all it takes
    return PageOf(items=service.list_metrics(), next_cursor=None)


_AS_ARROW: dict[int | str, dict[str, Any]] = {200: {"content": {arrow.MEDIA_TYPE: {}}}}


@metrics_router.get(
    "/{name}", responses=problems(*_ERRORS) | _AS_ARROW, response_model=MetricAnswer | MetricExplanation
)
async def read_metric(
    name: str,
    request: Request,
    given: Given,
    caller: CurrentCaller,
    unit: Unit,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
    accept: Annotated[str, Header(alias="Accept", include_in_schema=False)] = "",
    cache_control: Annotated[
        str, Header(alias="Cache-Control", description="`no-cache` waits for the current version, however long.")
    ] = "",
    *,
    explain: Annotated[bool, Query(description="Answers the SQL as it ran, with its values, beside the rows.")] = False,
) -> Response:
    """Answer a metric, over the records you see. Repeats cheaply: the ETag stays while nothing in the answer changes.

    `Accept: application/vnd.apache.arrow.stream` gives the rows as Arrow; what stands around them is in its metadata.
    While a new version of the warehouse is being asked, the answer may be from one of the minute before; the answer
    says from which.
    """
    services = await at_version(services_of(request), name, given)
    if explain:
        found = await explain_metric(unit, caller, services=services, name=name, given=given)
        return JSONResponse(found.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
    answer = await service.answer_metric(
        unit,
        caller,
        services=services,
        name=name,
        given=given,
        is_patient="no-cache" in cache_control.lower(),
    )
    left_out = {"warehouse_version", "freshness"} if answer.is_for_ever else set()
    as_arrow = arrow.is_wanted(accept)
    body = (
        arrow.stream(answer.body, left_out=left_out)
        if as_arrow
        else answer.body.model_dump_json(exclude=left_out).encode()
    )
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept"} | _of_today(answer)
    if if_none_match is not None and tag in (given.strip() for given in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=arrow.MEDIA_TYPE if as_arrow else JSONResponse.media_type, headers=headers)


@metrics_router.get("/{name}/restatements", responses=problems(*_ERRORS))
async def list_restatements(
    name: str,
    request: Request,
    given: Given,
    cell: Cell,
    caller: CurrentCaller,
    unit: Unit,
    from_as_of: Annotated[str, Query(max_length=100, description="The figure as known then,")],
    to_as_of: Annotated[Text, Query(description="and as known then; now if left out.")] = None,
) -> RestatementsRead:
    """List the facts that changed a figure between two instants of knowledge; they add up to the difference."""
    del from_as_of, to_as_of
    services = await at_version(services_of(request), name, given)
    asked = {field: value for field, value in given.items() if field not in _CELL_FIELDS}
    return await service.list_restatements(unit, caller, services=services, name=name, given=asked, cell=cell)


def _of_today(answer: service.Answered) -> dict[str, str]:
    """What is true of the answer now, and may be another tomorrow."""
    through = {"Sluice-Fresh-Through": answer.through.isoformat()} if answer.through else {}
    behind = {"Sluice-Events-Behind": str(answer.events_behind)}
    return {"Sluice-Warehouse-Version": answer.warehouse_version} | through | behind


@metrics_router.get("/{name}/rows.csv", responses=problems(*_ERRORS), response_class=StreamingResponse)
async def download_metric_rows(
    name: str, request: Request, given: Given, cell: Cell, caller: CurrentCaller, unit: Unit
) -> Response:
    """Download all facts behind one figure as CSV for spreadsheets, of one instant however many there are.

    Amounts are in whole units; a text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    services = await at_version(services_of(request), name, given)
    asked = {field: value for field, value in given.items() if field not in _CELL_FIELDS}
    file = await download.write_facts(unit, caller, services=services, name=name, given=asked, cell=cell)
    return StreamingResponse(
        download.chunks(file),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"},
    )


@metrics_router.get("/{name}/rows", responses=problems(*_ERRORS, InvalidCursor))
async def list_metric_rows(
    name: str, request: Request, given: Given, cell: Cell, page: Page, caller: CurrentCaller, unit: Unit
) -> FactsBehind:
    """List the facts behind one figure, for most metrics deals; their count, or their sum, is the figure."""
    services = await at_version(services_of(request), name, given)
    asked = {field: value for field, value in given.items() if field not in _CELL_FIELDS | _PAGE_FIELDS}
    return await service.list_facts_behind(
        unit, caller, services=services, name=name, given=asked, cell=cell, page=page
    )


@freshness_router.get("")
async def read_freshness(request: Request, caller: CurrentCaller, unit: Unit) -> FreshnessRead:
    """Say how fresh the figures are, and what the checks of the data say."""
    return await service.read_freshness(unit, caller, services=services_of(request))


@versions_router.get("")
async def list_warehouse_versions(request: Request, caller: CurrentCaller) -> PageOf[WarehouseVersionRead]:
    """List the versions of the figures that metrics answer from by name (`?warehouse_version=`), the newest first."""
    del caller  # signed in is all it takes
    return PageOf(items=await service.list_versions(services_of(request)), next_cursor=None)


routers = (metrics_router, freshness_router, versions_router)
