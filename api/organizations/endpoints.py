"""`/v1/organizations`: the caller's own."""

from uuid import UUID

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Unit
from api.edge.pages import PageOf
from api.edge.routing import problems, slice_router
from api.kernel.changes import expect
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.organizations import records, rules
from api.organizations.schemas import OrganizationRead, OrganizationUpdate

router = slice_router(prefix="/organizations", tags=["organizations"])


@router.get("")
async def list_organizations(caller: CurrentCaller, unit: Unit) -> PageOf[OrganizationRead]:
    """The organization that the caller is signed in to, as a list of one."""
    return PageOf(items=[OrganizationRead.model_validate(await records.find_organization(unit))], next_cursor=None)


@router.get("/{organization_id}", responses=problems(NotFound))
async def read_organization(organization_id: UUID, caller: CurrentCaller, unit: Unit) -> OrganizationRead:
    """The caller's organization."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    return OrganizationRead.model_validate(await records.find_organization(unit))


@router.patch("/{organization_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def update_organization(
    organization_id: UUID, body: OrganizationUpdate, caller: Administrator, if_match: IfMatch, unit: Unit
) -> OrganizationRead:
    """Change the organization's name, zone, calendar or currency."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    organization = expect(await records.lock_organization(unit), "organization", version=if_match)
    change = rules.update_organization(organization, unit.now, changes=body.model_dump(exclude_unset=True))
    if change is not None:
        records.write_change(unit, change)
        organization = change.after
    return OrganizationRead.model_validate(organization)
