"""`/v1/organizations/{id}/deletion`: an owner asks that all of it goes, and may take that back for 14 days.

Whoever asks shows password, second factor and the organization's name; every owner has a mail. What happens when the
time is over is `forgetting`.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy import text

from api.db.statements import compiled
from api.edge.dependencies import CurrentCaller, Unit
from api.edge.mail import Mail
from api.edge.routing import problems, slice_router
from api.edge.services import Services
from api.identity import people, second_factor
from api.identity import records as users
from api.identity.account import WrongCode, WrongPassword
from api.identity.callers import TheServices
from api.identity.sign_in import CODES, identify
from api.kernel.auditing import note
from api.kernel.caller import Caller
from api.kernel.errors import Conflict, NotFound, Unprocessable
from api.kernel.unit_of_work import Row, UnitOfWork
from api.models.organization_deletion import OrganizationDeletion
from api.organizations import records as organizations
from api.organizations.rules import announce
from api.privacy.schemas import DeletionAsk, DeletionRead
from contracts.addresses import spelled
from contracts.events.identity import OrganizationDeletionAsked, OrganizationDeletionCancelled

router = slice_router(prefix="/organizations", tags=["privacy"])

#: How long an owner may take it back.
GRACE = timedelta(days=14)

_FIND = compiled(
    text("""
select asked_by, asked_at, due_at from organization_deletions where organization_id = :organization_id
""")
)
_CANCEL = compiled(
    text("""
delete from organization_deletions where organization_id = :organization_id and began_at is null returning due_at
""")
)
_OWNERS = compiled(
    text("""
select email from users where organization_id = :organization_id and role = 'owner' and is_active order by email
""")
)


class DeletionAskedBefore(Conflict):
    """Somebody asked for it already."""

    code, detail = "deletion_asked_before", "The deletion was asked for already. It can be cancelled until it is due."


class NameDiffers(Unprocessable):
    """Not the organization's name."""

    code, pointer = "name_differs", "/name"
    detail = "This is not the organization's name. Write it as it is, so that the right one goes."


@router.get("/{organization_id}/deletion", responses=problems(NotFound))
async def read_organization_deletion(organization_id: UUID, caller: CurrentCaller, unit: Unit) -> DeletionRead:
    """When your organization is to be deleted, and who asked for it. 404 where nobody did."""
    found = await unit.fetch(_FIND) if organization_id == caller.organization_id else []
    if not found:
        raise NotFound("deletion")
    return DeletionRead.model_validate(found[0])


@router.post(
    "/{organization_id}/deletion",
    status_code=202,
    responses=problems(NotFound, DeletionAskedBefore, NameDiffers, WrongPassword, WrongCode),
)
async def ask_for_deletion(
    organization_id: UUID, body: DeletionAsk, caller: CurrentCaller, unit: Unit, services: TheServices, request: Request
) -> DeletionRead:
    """Have your organization deleted in 14 days, with everything in it. Owners alone, who are told by mail."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    organization = await organizations.find_organization(unit)
    user = await users.find_user(unit, caller.user_id)
    factor = await people.factor_of(unit, user.person_id)
    # the connection goes back while a password is hashed, and what proves something is kept for no key
    request.state.idempotency_key = None
    await unit.commit()
    if body.name != organization.name:
        raise NameDiffers
    _, proven = await identify(services, user.email, body.current_password)
    if proven != user.person_id:
        raise WrongPassword
    if factor is not None and factor.confirmed_at is not None:
        await _show_code(services, user.person_id, sealed=factor.sealed, code=body.code)
    async with services.database.unit(caller.context) as writing:
        asked, owners = await _ask(writing, caller)
    told = (
        f"An owner of {organization.name} asked that the organization be deleted, with everything in it, on"
        f" {asked.due_at:%Y-%m-%d at %H:%M} UTC. Until then every owner can cancel that, on the page Organization:"
        f"\n\n{services.settings.public_url.rstrip('/')}/organization\n"
    )
    _tell(services, owners, f"{organization.name} will be deleted", told)
    return asked


async def _show_code(services: Services, person_id: UUID, *, sealed: bytes, code: str | None) -> None:
    await services.limiter.take(CODES.of(str(person_id)), is_sign_in=True)
    async with services.database.unit(None) as unit:
        if not await second_factor.use_code(unit, services.vault, person_id, sealed=sealed, code=code or ""):
            raise WrongCode


async def _ask(unit: UnitOfWork, caller: Caller) -> tuple[DeletionRead, Sequence[Row]]:
    organization = await organizations.lock_organization(unit)
    found, owners = await unit.fetch_all(_FIND.bind(), _OWNERS.bind())
    if found:
        raise DeletionAskedBefore
    asked = DeletionRead(asked_by=caller.user_id, asked_at=unit.now, due_at=unit.now + GRACE)
    unit.insert(OrganizationDeletion, asked.model_dump())
    told = OrganizationDeletionAsked(due_at=asked.due_at)
    organizations.write_change(unit, announce(organization, unit.now, told))
    note(unit, "organization.deletion_asked", resource="organization", resource_id=caller.organization_id)
    return asked, owners


@router.delete("/{organization_id}/deletion", status_code=204, response_class=Response, responses=problems(NotFound))
async def cancel_deletion(organization_id: UUID, caller: CurrentCaller, unit: Unit, services: TheServices) -> None:
    """Keep your organization after all. Owners alone, who are told by mail."""
    if organization_id != caller.organization_id:
        raise NotFound("organization")
    organization = await organizations.lock_organization(unit)
    cancelled, owners = await unit.fetch_all(_CANCEL.bind(), _OWNERS.bind())
    if not cancelled:
        raise NotFound("deletion that can be cancelled")
    organizations.write_change(unit, announce(organization, unit.now, OrganizationDeletionCancelled()))
    note(unit, "organization.deletion_cancelled", resource="organization", resource_id=organization_id)
    told = f"An owner of {organization.name} cancelled its deletion. Everything stays as it is.\n"
    _tell(services, owners, f"{organization.name} will not be deleted", told)


def _tell(services: Services, owners: Sequence[Row], subject: str, told: str) -> None:
    for owner in owners:
        services.post.send(Mail(spelled(owner.email), subject, told))
