"""Bodies and answers of saved views."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import Flag, ShortName, ShortText

_Filter = Annotated[list[Any], Field(max_length=20, description="Conditions, as the `filter` of lists takes them.")]
_Columns = Annotated[list[ShortText], Field(max_length=50, description="Fields to show, in order.")]


class ViewCreate(BaseModel):
    """A new view."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Large ones",
                    "record_kind": "deal",
                    "filter": [["amount_minor", ">=", 100000]],
                    "sort": "-amount_minor",
                }
            ]
        },
    )

    name: ShortName
    record_kind: Literal["contact", "company", "deal", "task"]
    filter: _Filter = []
    sort: ShortText | None = None
    columns: _Columns = []
    team_id: UUID | None = Field(default=None, description="A team that it is shared with.")
    is_shared: Flag = Field(default=False, description="Whether everybody has it.")


class ViewUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_shared": True}]})

    # only fields that were sent count
    name: ShortName = ""
    filter: _Filter = []
    sort: ShortText | None = None
    columns: _Columns = []
    team_id: UUID | None = None
    is_shared: Flag = False


class ViewRead(BaseModel):
    """A saved view."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    name: str
    record_kind: str
    filter: list[Any]
    sort: str | None
    columns: list[str]
    owner_id: UUID
    team_id: UUID | None
    is_shared: bool
    created_at: datetime
    updated_at: datetime
