"""What a person may ask of an import."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.edge.fields import CurrencyCode
from api.imports.presets import Entity
from contracts.stages import StageKind


class Creatable(StrEnum):
    """Things that a row may name and the organization may lack."""

    STAGES = "stages"
    PIPELINES = "pipelines"
    USERS = "users"
    PICKLISTS = "picklists"
    COMPANIES = "companies"
    CONTACTS = "contacts"
    PRODUCTS = "products"


class ImportOptions(BaseModel):
    """How files are to be read, and what may be created on the way."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"preset": "generic", "create_missing": True, "day_first": True}]},
    )

    preset: Literal["generic", "hubspot", "salesforce", "pipedrive"] = "generic"
    map: dict[Entity, dict[str, str]] = Field(
        default_factory=dict,
        description=(
            "Per entity: heading in the file -> column; an empty column leaves the heading out. `#7` is the seventh"
            " heading, `Amount#2` the second one called so. A custom field's column is `custom:` and its name."
        ),
    )
    use_memory: bool = Field(
        default=True,
        description="Whether headings are read as earlier imports' maps said, and this one's map is remembered.",
    )
    create_missing: bool | list[Creatable] = Field(
        default=False, description="What to create when a row names it: true for all, or a list of kinds."
    )
    pipeline: Annotated[str, Field(min_length=1, max_length=120)] | None = Field(
        default=None, description="Pipeline of deals whose row names none; else the organization's first one."
    )
    stage_kinds: dict[str, StageKind] = Field(
        default_factory=dict,
        description=(
            "Kind of stages that the import creates; one that is not listed is open, unless its name or its deals"
            " speak of a closed one: then its kind has to be said."
        ),
    )
    currency: CurrencyCode | None = Field(
        default=None, description="Currency of amounts whose row names none; else the organization's."
    )
    delimiter: Literal["auto", ",", ";", "tab", "|"] = "auto"
    encoding: Literal[
        "auto", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
        "cp1257", "iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-15", "koi8-r", "cp866", "mac-roman", "gb18030",
        "big5", "shift_jis", "euc-kr",
    ] = "auto"  # fmt: skip
    day_first: bool | None = Field(
        default=None, description="Whether 03/04/2025 is the third of April; left out, the column's cells decide."
    )
    decimal_comma: bool | None = Field(
        default=None, description="Whether 1.234,56 is a thousand and some; left out, the column's cells decide."
    )
    on_duplicate: Literal["update", "skip", "create"] = Field(
        default="update",
        description="What a row of companies or contacts does that speaks of a known one: change it, leave it as it is,"
        " or, unless it has the same external_id, be another one.",
    )
    run_rules: bool = Field(
        default=False, description="Whether rules look at what the import brings, as if people had entered it."
    )
    preview: bool = Field(default=False, description="Read and check only; write nothing.")

    def may_create(self, kind: Creatable) -> bool:
        """Whether rows may bring a new thing of this kind into being."""
        return self.create_missing if isinstance(self.create_missing, bool) else kind in self.create_missing
