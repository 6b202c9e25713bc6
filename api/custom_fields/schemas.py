"""Bodies and answers of custom fields."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.edge.fields import Flag, Label, ShortName, Whole, storable
from api.kernel.computed import LONGEST_EXPRESSION, ValueKind
from api.kernel.custom import FieldType

RecordKindName = Literal["contact", "company", "deal"]
_MOST_CHOICES = 200


class Choice(BaseModel):
    """One of the values of a field; without an id it is a new one."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    label: Label


Expression = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_EXPRESSION),
    AfterValidator(storable),
    Field(
        description='How a computed field is told: CEL over the record (`deal.amount`, `deal.custom["Weight"]`) and'
        " `now`. Numbers are decimals: `2.0`. Nobody can write it. Lists are narrowed and sorted by its values, and"
        " figures split by those that are not personal; texts among these where the expression itself writes them."
        " Values of one that speaks of `now` change by themselves: they are told, and neither kept nor searched.",
        examples=["deal.amount * 0.2"],
    ),
]
Choices = Annotated[list[Choice], Field(max_length=_MOST_CHOICES)]


class CustomFieldCreate(BaseModel):
    """A new custom field."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "record_kind": "deal",
                    "name": "Competitor",
                    "type": "choice",
                    "choices": [{"label": "Acme"}, {"label": "Other"}],
                }
            ]
        },
    )

    record_kind: RecordKindName
    name: ShortName
    type: FieldType
    choices: Choices = []
    is_required: Flag = Field(default=False, description="New records need a value.")
    is_unique: Flag = Field(default=False, description="No two records have the same value.")
    is_personal: Flag | None = Field(
        default=None,
        description="Whether a value may tell who somebody is: it then stays out of events and figures. Default for"
        " texts and links yes, for computed ones whether the expression reads what is personal, else no.",
    )
    expression: Expression | None = None


class CustomFieldUpdate(BaseModel):
    """The fields to change; those left out stay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"is_required": True}]})

    # only fields that were sent count
    name: ShortName = ""
    choices: Choices = []
    is_required: Flag = False
    is_personal: Flag = False
    expression: Expression = ""
    is_retired: Flag = Field(default=False, description="A retired field is filled no more; records keep its values.")
    position: Whole = Field(default=0, ge=0, le=10_000)


class ChoiceRead(BaseModel):
    """One of the values of a field."""

    id: UUID
    label: str


class Computing(BaseModel):
    """How far records are computed anew after a definition changed; lists and figures have old values until then."""

    done: int
    total: int | None = Field(description="Records there are, once they were counted.")


class CustomFieldRead(BaseModel):
    """A custom field."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    version: int
    record_kind: str
    name: str
    type: FieldType
    choices: list[ChoiceRead]
    is_required: bool
    is_unique: bool
    is_personal: bool
    is_retired: bool
    expression: str | None
    value_kind: ValueKind | None = Field(
        description="What values of a computed field are; null for other fields, and where they change by themselves."
    )
    computing: Computing | None
    position: int
    created_at: datetime
    updated_at: datetime
