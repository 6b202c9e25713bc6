"""Statements beside the warehouse: names of ids, titles of deals, how many events it lacks, what processes report."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, func, literal, select, text, union_all

from api.db.statements import Bound, compiled, is_one_of
from api.kernel.unit_of_work import Row, UnitOfWork
from api.metrics.pipeline import REPORTS, Report, report_of
from api.metrics.schemas import Process, Reconciliation
from api.models.deal import Deal
from api.models.event_log import EventLogRow
from api.models.picklist_value import PicklistValue
from api.models.pipeline import Pipeline
from api.models.product import Product
from api.models.team import Team
from api.models.user import User

_PROCESSES = compiled(
    text("""
select process as name, updated_at as seen_at,
    case when updated_at < clock_timestamp() - interval '1 minute' then 'silent' else state end as state
from process_status
order by process
""")
)

_RECONCILIATION = compiled(
    text("""
select checked_at, events, in_flight, missing, extra, different, wrong_figures, repaired_at,
    missing + extra + different + coalesce(wrong_figures, 0) = 0 as is_clean
from reconciliations
where organization_id = :organization_id
""")
)

_HERE: BindParameter[UUID] = bindparam("organization_id")
_NAMES = compiled(
    union_all(
        *(
            select(model.id, name.label("name")).where(model.organization_id == _HERE, is_one_of(model.id, "ids"))
            for model, name in (
                (User, User.name),
                (Team, Team.name),
                (PicklistValue, PicklistValue.label),
                (Product, Product.name),
            )
        )
    ),
    is_prepared=False,
)
_TITLES = compiled(
    select(Deal.id, Deal.title.label("name")).where(
        Deal.organization_id == _HERE, is_one_of(Deal.id, "ids"), Deal.deleted_at.is_(None)
    ),
    is_prepared=False,
)
_EVENTS_OF = select(func.count().label("events")).where(EventLogRow.organization_id == _HERE)
_EVENTS = compiled(_EVENTS_OF)
_EVENTS_AFTER = compiled(_EVENTS_OF.where(EventLogRow.recorded_at > bindparam("through")))
_PIPELINE = compiled(
    select(literal(1)).where(Pipeline.organization_id == _HERE, Pipeline.id == bindparam("pipeline_id"))
)


@dataclass(frozen=True)
class State:
    """What PostgreSQL knows of how fresh the figures are. Processes are the installation's, the rest is a tenant's."""

    events_behind: int
    processes: list[Process]
    reports: list[Report]
    reconciliation: Reconciliation | None


async def names_and_behind(
    unit: UnitOfWork, ids: Collection[UUID], through: datetime | None
) -> tuple[dict[str, str], int]:
    """Names of users, teams, products, labels of picklist values as they are now; events recorded after an instant."""
    named, behind = await unit.fetch_all(_NAMES.bind(ids=list(ids)), _behind(through))
    return _by_id(named), _count(behind)


async def names_and_titles(
    unit: UnitOfWork, ids: Collection[UUID], deal_ids: Collection[UUID]
) -> tuple[dict[str, str], dict[str, str]]:
    """Names as above, and titles of deals; a deleted deal has none any more."""
    named, titled = await unit.fetch_all(_NAMES.bind(ids=list(ids)), _TITLES.bind(ids=list(deal_ids)))
    return _by_id(named), _by_id(titled)


async def state(unit: UnitOfWork, through: datetime | None) -> State:
    """How far the warehouse is behind PostgreSQL (None: as far as can be), and what the pipeline says of itself."""
    behind, processes, reports, compared = await unit.fetch_all(
        _behind(through), _PROCESSES.bind(), REPORTS.bind(), _RECONCILIATION.bind()
    )
    return State(
        events_behind=_count(behind),
        processes=[Process.model_validate(row, from_attributes=True) for row in processes],
        reports=[report_of(row) for row in reports],
        reconciliation=next((Reconciliation.model_validate(row, from_attributes=True) for row in compared), None),
    )


async def has_pipeline(unit: UnitOfWork, pipeline_id: UUID) -> bool:
    """Whether the organization has this pipeline now."""
    return bool(await unit.fetch(_PIPELINE, pipeline_id=pipeline_id))


def _behind(through: datetime | None) -> Bound:
    return _EVENTS.bind() if through is None else _EVENTS_AFTER.bind(through=through)


def _count(rows: list[Row]) -> int:
    count: int = rows[0].events
    return count


def _by_id(rows: Iterable[Row]) -> dict[str, str]:
    return {str(row.id): row.name for row in rows}
