"""Rules of companies. Events tell which fields changed; what names anybody stays in the row."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.companies import repository
from api.companies.schemas import CompanyCreate
from api.kernel.constraints import Problems, explained, unknown
from api.kernel.context import Context
from api.kernel.errors import Conflict, NotFound, PreconditionFailed
from api.kernel.event_log import append
from api.kernel.owners import require_owner
from api.models.company import Company
from api.picklists.service import Picklist, find_or_create
from contracts.events.relations import CompanyCreated, CompanyUpdated


class CompanyExternalIdTaken(Conflict):
    """Another company has this id of another system."""

    code = "external_id_taken"

    def __init__(self, external_id: str | None) -> None:
        self.external_id = external_id
        super().__init__(f"Another company has the external_id {external_id!r}.")


_REFERENCES = {"fk_companies_owner_id": unknown("owner_id", "active user")}


async def create_company(
    session: AsyncSession, context: Context, *, body: CompanyCreate, owner_id: UUID | None
) -> Company:
    """Create a company.

    Raises:
        UnknownReference: something the body refers to is none of the organization's.
        CompanyExternalIdTaken: another company has it.
    """
    await require_owner(session, context, owner_id=owner_id)
    company = Company(
        organization_id=context.organization_id,
        id=uuid7(),
        version=0,
        name=body.name,
        domain=body.domain,
        industry_id=await _industry_id(session, context, label=body.industry),
        employee_count=body.employee_count,
        country=body.country,
        owner_id=owner_id,
        external_id=body.external_id,
    )
    session.add(company)
    with explained(_problems(body.external_id)):
        await append(session, CompanyCreated(**_state(company)), context=context, aggregate=company)
    return company


async def update_company(
    session: AsyncSession,
    context: Context,
    *,
    company_id: UUID,
    owner_ids: repository.Owners,
    expected_version: int,
    changes: Mapping[str, Any],
) -> Company:
    """Change a company; where nothing differs, nothing is written. `changes` are the sent keys of `CompanyUpdate`.

    Raises:
        NotFound: no such company that the caller sees.
        PreconditionFailed: it changed since the caller read it.
        UnknownReference, CompanyExternalIdTaken: as in `create_company`.
    """
    company = await repository.get_company(
        session, context.organization_id, company_id=company_id, owner_ids=owner_ids, locked=True
    )
    if company is None:
        raise NotFound("company")
    if company.version != expected_version:
        raise PreconditionFailed
    wanted = dict(changes)
    if "industry" in wanted:
        wanted["industry_id"] = await _industry_id(session, context, label=wanted.pop("industry"))
    changed = {name: value for name, value in wanted.items() if getattr(company, name) != value}
    if not changed:
        return company
    if "owner_id" in changed:
        await require_owner(session, context, owner_id=changed["owner_id"])
    for name, value in changed.items():
        setattr(company, name, value)
    event = CompanyUpdated(**_state(company), changed_fields=sorted(changed))
    with explained(_problems(company.external_id)):
        await append(session, event, context=context, aggregate=company)
    return company


def _state(company: Company) -> dict[str, Any]:
    """The facts that its events carry."""
    return {
        "owner_id": company.owner_id,
        "industry_id": company.industry_id,
        "employee_count": company.employee_count,
        "country": company.country,
    }


def _problems(external_id: str | None) -> Problems:
    return _REFERENCES | {"uq_companies_external_id": lambda: CompanyExternalIdTaken(external_id)}


async def _industry_id(session: AsyncSession, context: Context, *, label: str | None) -> UUID | None:
    if label is None:
        return None
    return await find_or_create(session, context, picklist=Picklist.INDUSTRY, label=label)
