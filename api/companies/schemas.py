"""The body that makes a company."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.edge.fields import Count, CountryCode, CustomValues, ExternalId, Label, Name, ShortText
from api.kernel.tags import Tags

_EXAMPLE: JsonDict = {"name": "Acme GmbH", "domain": "acme.example", "industry": "Software", "country": "DE"}


class CompanyCreate(BaseModel):
    """A new company."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE | {"employee_count": 400}]})

    name: Name
    domain: ShortText | None = Field(default=None, description="Its web domain.")
    industry: Label | None = None
    employee_count: Count | None = None
    country: CountryCode | None = None
    owner_id: UUID | None = Field(default=None, description="A user; default the caller. `null` for nobody.")
    external_id: ExternalId | None = Field(default=None, description="Its id in another system, unique here.")
    tags: Tags = []
    custom: CustomValues = {}
