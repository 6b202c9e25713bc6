"""Bodies and answers of pipelines and their stages."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonValue

from api.edge.fields import Flag, ShortName
from api.pipelines.rules import LARGEST_NUMBER, missing_kinds
from contracts.stages import StageKind

_MOST_STAGES = 100

Position = Annotated[
    int,
    Field(strict=True, ge=0, le=LARGEST_NUMBER, description="Order within the pipeline, ascending; gaps are allowed."),
]
TargetDays = Annotated[
    int, Field(strict=True, ge=0, le=LARGEST_NUMBER, description="How long a deal should stay in the stage, in days.")
]

NeededFields = Annotated[
    list[
        Annotated[
            str,
            Field(
                pattern=r"^(amount_minor|close_date|company_id|contact_id|owner_id|source|custom\.[0-9a-f-]{36})$",
                examples=["amount_minor"],
            ),
        ]
    ],
    Field(max_length=20),
]

_STAGES: JsonValue = [
    {"name": "New", "kind": "open", "target_days": 7},
    {"name": "Proposal", "kind": "open", "target_days": 14},
    {"name": "Won", "kind": "won"},
    {"name": "Lost", "kind": "lost"},
]


class StageCreate(BaseModel):
    """A new stage."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Demo", "target_days": 10}]})

    name: ShortName
    kind: StageKind = Field(default=StageKind.OPEN, description="Never changes afterwards.")
    position: Position | None = Field(default=None, description="Default: after the last stage of its sort.")
    target_days: TargetDays | None = None
    entry_fields: NeededFields = Field(default=[], description="Fields that a deal must have before it enters.")
    exit_fields: NeededFields = Field(default=[], description="Fields that a deal must have before it leaves.")


class StageUpdate(BaseModel):
    """The fields to change; those left out stay. A kind never changes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Offer", "position": 2}]})

    name: ShortName | None = None
    position: Position | None = None
    target_days: TargetDays | None = None
    entry_fields: NeededFields = []
    exit_fields: NeededFields = []

    @model_validator(mode="after")
    def _keep_what_a_stage_must_have(self) -> Self:
        for name in ("name", "position"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class StageRead(BaseModel):
    """A stage. A retired one takes no deals any more; its id stays valid in histories."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    pipeline_id: UUID
    name: str
    kind: StageKind
    position: int
    target_days: int | None
    entry_fields: list[str]
    exit_fields: list[str]
    is_retired: bool


class PipelineCreate(BaseModel):
    """A new pipeline with its stages, in order."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "New business", "stages": _STAGES}]}
    )

    name: ShortName
    stages: Annotated[list[StageCreate], Field(min_length=3, max_length=_MOST_STAGES)]

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        if missing := missing_kinds(stage.kind for stage in self.stages):
            raise ValueError(f"a pipeline needs at least one stage of each kind; missing: {', '.join(missing)}")
        names = [stage.name.lower() for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError("two stages have the same name")
        given = [stage.position for stage in self.stages if stage.position is not None]
        if given and (len(given) != len(self.stages) or len(set(given)) != len(given)):
            raise ValueError("give each stage a position of its own, or none at all")
        return self


class PipelineUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "New business, Europe"}]})

    name: ShortName | None = None
    is_active: Flag | None = None

    @model_validator(mode="after")
    def _keep_what_a_pipeline_must_have(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} must not be null")
        return self


class PipelineRead(BaseModel):
    """A pipeline with its active stages in order."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    is_active: bool
    stages: list[StageRead]
    created_at: datetime
    updated_at: datetime
