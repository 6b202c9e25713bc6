"""Events of pipelines and their stages. Their names are configuration, not personal: reports of past days need them."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from contracts.events.envelope import Event
from contracts.stages import StageKind


class PipelineEvent(Event):
    """Any event of a pipeline."""

    aggregate_type: ClassVar[str] = "pipeline"
    topic: ClassVar[str] = "sluice.pipelines"


class _PipelineState(PipelineEvent):
    name: str = Field(min_length=1, max_length=120)
    is_active: bool = True


class PipelineCreated(_PipelineState):
    """A pipeline exists."""

    type: ClassVar[str] = "pipeline.created"


class PipelineUpdated(_PipelineState):
    """A pipeline was renamed or retired; the full state after the change."""

    type: ClassVar[str] = "pipeline.updated"


class StageEvent(Event):
    """Any event of a stage."""

    aggregate_type: ClassVar[str] = "stage"
    topic: ClassVar[str] = "sluice.pipelines"


class _StageState(StageEvent):
    pipeline_id: UUID
    name: str = Field(min_length=1, max_length=120)
    kind: StageKind
    position: int = Field(ge=0, description="Order within the pipeline, ascending; gaps are allowed.")
    target_days: int | None = Field(ge=0, description="How long a deal should stay here, in days.")


class StageCreated(_StageState):
    """A stage exists."""

    type: ClassVar[str] = "stage.created"


class StageUpdated(_StageState):
    """A stage was renamed, reordered or re-targeted; the full state after the change. Its kind never changes."""

    type: ClassVar[str] = "stage.updated"


class StageRestored(_StageState):
    """A retired stage takes deals again; the full state after it."""

    type: ClassVar[str] = "stage.restored"


class StageDeleted(StageEvent):
    """A stage was retired: no deal can enter it any more, its history stays."""

    type: ClassVar[str] = "stage.deleted"

    pipeline_id: UUID
