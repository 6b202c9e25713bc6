"""Rules of organizations."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.kernel.context import Context
from api.kernel.errors import NotFound, PreconditionFailed
from api.kernel.event_log import append
from api.models.organization import Organization
from api.organizations.schemas import OrganizationSettings, OrganizationUpdate
from contracts.events.identity import OrganizationCreated, OrganizationUpdated


async def create_organization(
    session: AsyncSession, context: Context, *, name: str, settings: OrganizationSettings
) -> Organization:
    """Make the organization whose id the context carries."""
    organization = Organization(organization_id=context.organization_id, name=name, **settings.model_dump())
    session.add(organization)
    await append(session, OrganizationCreated(**settings.model_dump()), context=context, aggregate=organization)
    await session.flush()
    return organization


async def read_organization(session: AsyncSession, context: Context) -> Organization:
    """The organization of the context."""
    query = select(Organization).where(Organization.organization_id == context.organization_id)
    return (await session.execute(query)).scalar_one()


async def update_organization(
    session: AsyncSession,
    context: Context,
    *,
    organization_id: UUID,
    changes: OrganizationUpdate,
    expected_version: int,
) -> Organization:
    """Change settings. Reports of past days keep the settings of those days.

    Raises:
        NotFound: not the caller's organization.
        PreconditionFailed: changed meanwhile.
    """
    query = select(Organization).where(Organization.organization_id == organization_id).with_for_update()
    organization = (await session.execute(query)).scalar_one_or_none()
    if organization is None or organization.organization_id != context.organization_id:
        raise NotFound("organization")
    if organization.version != expected_version:
        raise PreconditionFailed
    changed = changes.model_dump(exclude_unset=True)
    if all(getattr(organization, field) == value for field, value in changed.items()):
        return organization
    for field, value in changed.items():
        setattr(organization, field, value)
    event = OrganizationUpdated(
        time_zone=organization.time_zone,
        currency=organization.currency,
        week_start=organization.week_start,
        fiscal_year_start_month=organization.fiscal_year_start_month,
    )
    await append(session, event, context=context, aggregate=organization)
    await session.flush()
    return organization
