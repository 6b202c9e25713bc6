"""What a company is."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from api.kernel import tags
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import UnitOfWork
from api.models.company import Company
from contracts.events.custom_fields import CompanyCustomChanged
from contracts.events.relations import CompanyCreated, CompanyDeleted, CompanyRestored, CompanyUpdated


class _Companies(RecordKind):
    """Companies bear tags."""

    def keep(self, unit: UnitOfWork, record_id: UUID, beside: Mapping[str, Any]) -> None:
        if "tags" in beside:
            tags.put_on(unit, "company", record_id, beside["tags"])


COMPANIES = _Companies(
    model=Company,
    noun="company",
    created=CompanyCreated,
    updated=CompanyUpdated,
    custom_changed=CompanyCustomChanged,
    deleted=CompanyDeleted,
    restored=CompanyRestored,
    labels={"industry": "industry"},
    searched=(Company.name,),
    beside={"tags": tags.tags_of("company", Company.organization_id, Company.id)},
)
