"""What a company is."""

from api.kernel.records import RecordKind
from api.models.company import Company
from contracts.events.custom_fields import CompanyCustomChanged
from contracts.events.relations import CompanyCreated, CompanyUpdated

COMPANIES = RecordKind(
    model=Company,
    noun="company",
    created=CompanyCreated,
    updated=CompanyUpdated,
    custom_changed=CompanyCustomChanged,
    labels={"industry": "industry"},
    searched=(Company.name,),
)
