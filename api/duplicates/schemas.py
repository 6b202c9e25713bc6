"""Bodies and answers of duplicates and merges."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import Flag

_ID, _OTHER = "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e5f", "0192f0c1-2a3b-7c4d-8e5f-0a1b2c3d4e60"


class DuplicateRecord(BaseModel):
    """One of the two, by what people tell it by."""

    id: UUID
    name: str
    detail: str | None


class Duplicate(BaseModel):
    """Two records that may be one."""

    reason: str = Field(examples=["same_email"])
    score: float = Field(description="1 for what is the same beyond doubt; a likeness is a suggestion.")
    records: list[DuplicateRecord]


class Verdict(BaseModel):
    """What somebody says of a pair that may be one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "contacts", "ids": [_ID, _OTHER], "are_distinct": True}]},
    )

    kind: Literal["contacts", "companies"]
    ids: Annotated[list[UUID], Field(min_length=2, max_length=2)]
    are_distinct: Flag = Field(default=True, description="False lists the pair again.")


class MergeRequest(BaseModel):
    """What to merge into the record."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"other_ids": [_OTHER], "fields": {"name": _OTHER}}]}
    )

    other_ids: Annotated[list[UUID], Field(min_length=1, max_length=20)]
    fields: Annotated[dict[str, UUID], Field(max_length=100)] = Field(
        default_factory=dict,
        description="Field -> the record that it is taken from; custom fields as `custom.<id>`. Without a word a field"
        " stays, and what the record lacks comes from the others.",
    )


class MergeRead(BaseModel):
    """The record that lives on, and what is part of it now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": _ID, "version": 3, "merged_ids": [_OTHER]}]})

    id: UUID
    version: int
    merged_ids: list[UUID]


class UnmergeRead(BaseModel):
    """The record that is one by itself again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": _OTHER, "version": 4}]})

    id: UUID
    version: int


class MergedRead(BaseModel):
    """One record that was merged into another one."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: str
    merged_id: UUID
    merged_name: str
    survivor_id: UUID
    merged_by: UUID | None
    created_at: datetime
