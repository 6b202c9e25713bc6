"""`/v1/organizations`: the caller's own."""

from uuid import UUID

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Session
from api.edge.pages import PageOf
from api.edge.routing import problems, slice_router
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.organizations import service
from api.organizations.schemas import OrganizationRead, OrganizationUpdate

router = slice_router(prefix="/organizations", tags=["organizations"])


@router.get("")
async def list_organizations(caller: CurrentCaller, session: Session) -> PageOf[OrganizationRead]:
    """The organization that the caller is signed in to, as a list of one."""
    organization = await service.read_organization(session, caller.context)
    return PageOf(items=[OrganizationRead.model_validate(organization)], next_cursor=None)


@router.get("/{organization_id}", responses=problems(NotFound))
async def read_organization(organization_id: UUID, caller: CurrentCaller, session: Session) -> OrganizationRead:
    """The caller's organization."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    return OrganizationRead.model_validate(await service.read_organization(session, caller.context))


@router.patch("/{organization_id}", responses=problems(NotFound, PreconditionFailed, PreconditionRequired))
async def update_organization(
    organization_id: UUID, body: OrganizationUpdate, caller: Administrator, if_match: IfMatch, session: Session
) -> OrganizationRead:
    """Change the organization's name, zone, calendar or currency."""
    organization = await service.update_organization(
        session, caller.context, organization_id=organization_id, changes=body, expected_version=if_match
    )
    return OrganizationRead.model_validate(organization)
