"""Statements about the stages that deals enter and leave, locked as far as the deal's foreign key locks them anyway."""

from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, func, select

from api.db.statements import compiled
from api.deals.state import StageRef
from api.distribution.records import IS_AUTOMATIC
from api.kernel.unit_of_work import Row
from api.models.deal import Deal as DealRow
from api.models.organization import Organization
from api.models.pipeline import Pipeline
from api.models.stage import Stage
from contracts.stages import StageKind

_organization: BindParameter[UUID] = bindparam("organization_id")
#: The stage that a deal is in, for `IS_ROTTING`.
IN_STAGE: ColumnElement[bool] = and_(Stage.organization_id == DealRow.organization_id, Stage.id == DealRow.stage_id)
#: Whether a deal is open and longer in its stage than the stage's target. Without a target nothing rots.
IS_ROTTING: ColumnElement[bool] = and_(
    DealRow.status == StageKind.OPEN,
    func.coalesce(
        func.clock_timestamp() > DealRow.stage_entered_at + func.make_interval(0, 0, 0, Stage.target_days), False
    ),
)
_STAGE_COLUMNS = (Stage.id, Stage.pipeline_id, Stage.kind, Stage.is_retired, Stage.entry_fields, Stage.target_days)
_stages = select(*_STAGE_COLUMNS).where(Stage.organization_id == _organization)
# the lock is the one that the deal's foreign key takes anyway: movers do not wait for each other, nobody retires it
STAGE = compiled(_stages.where(Stage.id == bindparam("stage_id")).with_for_update(read=True, key_share=True))
_pipeline_of_deal = select(DealRow.pipeline_id).where(
    DealRow.organization_id == _organization, DealRow.id == bindparam("deal_id")
)
#: Active stages of one kind in a deal's pipeline, in order.
STAGES_OF_KIND = compiled(
    _stages.where(
        Stage.pipeline_id == _pipeline_of_deal.scalar_subquery(), Stage.kind == bindparam("kind"), ~Stage.is_retired
    )
    .order_by(Stage.position)
    .with_for_update(read=True, key_share=True)
)
#: What the stage of a deal asks of those that leave it.
EXIT_FIELDS = compiled(
    select(Stage.exit_fields)
    .join(DealRow, and_(DealRow.organization_id == Stage.organization_id, DealRow.stage_id == Stage.id))
    .where(DealRow.organization_id == _organization, DealRow.id == bindparam("deal_id"))
)
_beginning = (
    select(*_STAGE_COLUMNS, Pipeline.is_active, Organization.currency, IS_AUTOMATIC.label("is_distributed"))
    .join(Pipeline, and_(Pipeline.organization_id == Stage.organization_id, Pipeline.id == Stage.pipeline_id))
    .join(Organization, Organization.organization_id == Stage.organization_id)
    .where(Stage.organization_id == _organization, Stage.pipeline_id == bindparam("pipeline_id"))
    .with_for_update(read=True, key_share=True, of=[Stage, Pipeline])
)
#: Where a new deal of a pipeline begins: its first open stage, or the stage given.
FIRST_STAGE = compiled(
    _beginning.where(Stage.kind == StageKind.OPEN, ~Stage.is_retired).order_by(Stage.position).limit(1)
)
GIVEN_STAGE = compiled(_beginning.where(Stage.id == bindparam("stage_id")))
PIPELINE = compiled(
    select(Pipeline.id).where(Pipeline.organization_id == _organization, Pipeline.id == bindparam("pipeline_id"))
)


def as_stage(row: Row) -> StageRef:
    """A stage as the rules see it."""
    kind, needed = StageKind(row.kind), tuple(row.entry_fields)
    return StageRef(
        row.id, row.pipeline_id, kind, is_retired=row.is_retired, entry_fields=needed, target_days=row.target_days
    )
