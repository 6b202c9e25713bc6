"""What a company is."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel import tags
from api.kernel.records import RecordKind
from api.kernel.unit_of_work import UnitOfWork
from api.models.company import Company
from contracts.events.custom_fields import CompanyCustomChanged
from contracts.events.relations import CompanyCreated, CompanyDeleted, CompanyRestored, CompanyUpdated

# at least as the page Duplicates sees it: one domain, or one name
_SAME = compiled(
    text("""
select c.id, c.name,
    case when regexp_replace(lower(c.domain), '^www[.]', '') = cast(:domain as text)
        then 'same_domain' else 'same_name' end as reason
from companies as c
where c.organization_id = :organization_id and (
    lower(c.name) = lower(cast(:name as text)) or regexp_replace(lower(c.domain), '^www[.]', '') = cast(:domain as text)
)
and (cast(:owners as uuid[]) is null or c.owner_id = any(:owners))
order by reason, c.id limit 10
"""),
    is_prepared=False,
)


class _Companies(RecordKind):
    """Companies bear tags."""

    def alike(self, values: Mapping[str, Any]) -> dict[str, Any]:
        domain = (values["domain"] or "").lower().removeprefix("www.")
        return {"name": values["name"], "domain": domain or None}

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
    same=_SAME,
)
