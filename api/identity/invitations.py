"""`/v1/invitations`: people who may join, and how they do. The link goes by mail; without mail it is handed over."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy import bindparam, func, text
from uuid_utils.compat import uuid7

from api.db.statements import compiled
from api.edge.dependencies import Administrator, Unit
from api.edge.entitlements import Limit, PlanLimitReached, require_room
from api.edge.mail import Mail
from api.edge.pages import Page, PageOf, read_page
from api.edge.routing import problems, slice_router
from api.edge.services import Services
from api.identity import links, people, proofs, records, rules
from api.identity.callers import TheClient, TheServices
from api.identity.passwords import WeakPassword, require_strong
from api.identity.proofs import LIVES, LinkNotGood, Purpose
from api.identity.schemas import Acceptance, InvitationCreate, InvitationMade, InvitationRead, Tokens
from api.identity.sign_in import begin, identify, require_allowed
from api.kernel.changes import Change
from api.kernel.errors import Conflict, NotFound
from api.kernel.listing import Listing
from api.kernel.states import as_states, rows_of
from api.kernel.unit_of_work import UnitOfWork
from api.kernel.writing import write
from api.models.access import Invitation as InvitationRow
from api.models.base import Base
from api.organizations.records import find_organization
from api.teams import records as teams
from api.teams.rules import add_member
from contracts.access import DEFAULT_SCOPES, RecordScope, Role
from contracts.addresses import spelled

router = slice_router(prefix="/invitations", tags=["users"])
accept_router = slice_router(prefix="/auth", tags=["sign-in"])


class AlreadyInvited(Conflict):
    """An invitation of this address waits."""

    code, detail = "already_invited", "An invitation of this address waits. Revoke it to send another one."


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """An invitation as it is kept."""

    id: UUID
    email: str
    name: str
    role: Role
    record_scope: RecordScope
    team_id: UUID | None
    invited_by: UUID
    expires_at: datetime
    created_at: datetime
    accepted_at: datetime | None = None
    revoked_at: datetime | None = None


_TABLES: dict[type, type[Base]] = {Invitation: InvitationRow}
_ROWS = rows_of(Invitation, InvitationRow)
_OPEN = Listing(
    _ROWS.where(
        InvitationRow.accepted_at.is_(None), InvitationRow.revoked_at.is_(None), InvitationRow.expires_at > func.now()
    ),
    filters={},
    order=(InvitationRow.id,),
    newest_first=True,
)
_LOCK = compiled(_ROWS.where(InvitationRow.id == bindparam("invitation_id")).with_for_update())
_USER_BY_EMAIL = compiled(
    text("select 1 from users where organization_id = :organization_id and lower(email) = :email")
)
# one that has expired gives way to a new one
_EXPIRE = compiled(
    text("""
update invitations set revoked_at = clock_timestamp()
where organization_id = :organization_id and lower(email) = :email and expires_at <= now()
  and accepted_at is null and revoked_at is null
""")
)


@router.get("")
async def list_invitations(caller: Administrator, unit: Unit, page: Page) -> PageOf[InvitationRead]:
    """List invitations that wait, newest first."""
    found, next_cursor = await read_page(unit, _OPEN, {}, page=page)
    return PageOf(items=[InvitationRead.model_validate(one) for one in found], next_cursor=next_cursor)


@router.post("", status_code=201, responses=problems(AlreadyInvited, rules.EmailTaken, rules.OwnersAreForOwners))
async def invite(
    body: InvitationCreate,
    caller: Administrator,
    unit: Unit,
    services: TheServices,
    request: Request,
    response: Response,
) -> InvitationMade:
    """Invite somebody. Without a mail server the answer holds the link, so it is kept for no Idempotency-Key."""
    request.state.idempotency_key = None
    rules.require_may_grant(body.role, by=caller.role)
    if body.team_id is not None:
        await teams.find_team(unit, body.team_id)
    email = spelled(body.email)
    if await unit.fetch(_USER_BY_EMAIL, email=email):
        raise rules.EmailTaken
    invitation = Invitation(
        id=uuid7(),
        email=email,
        name=body.name or email.partition("@")[0][:200],
        role=body.role,
        record_scope=body.record_scope or DEFAULT_SCOPES[body.role],
        team_id=body.team_id,
        invited_by=caller.user_id,
        expires_at=unit.now + LIVES[Purpose.INVITATION],
        created_at=unit.now,
    )
    unit.execute(_EXPIRE, email=email)
    unit.explain({"uq_invitations_open": AlreadyInvited})
    write(unit, [Change(None, invitation)], _TABLES)
    organization = await find_organization(unit)  # and with it what the database says of the invitation
    link = _link(services, invitation, caller.organization_id)
    is_mailed = services.post.is_configured
    services.post.send(Mail(email, f"{organization.name} invites you to Sluice", _text(organization.name, link)))
    response.headers["Location"] = f"/v1/invitations/{invitation.id}"
    shown = InvitationRead.model_validate(invitation).model_dump()
    return InvitationMade(**shown, is_mailed=is_mailed, link=None if is_mailed else link)


@router.delete("/{invitation_id}", status_code=204, response_class=Response, responses=problems(NotFound))
async def revoke_invitation(invitation_id: UUID, caller: Administrator, unit: Unit) -> None:
    """Take an invitation back."""
    invitation = await _lock(unit, invitation_id)
    if invitation is None or invitation.accepted_at is not None:
        raise NotFound("invitation")
    if invitation.revoked_at is None:
        write(unit, [Change(invitation, replace(invitation, revoked_at=unit.now))], _TABLES)


@accept_router.post(
    "/join", status_code=201, responses=problems(LinkNotGood, WeakPassword, rules.EmailTaken, PlanLimitReached)
)
async def accept_invitation(body: Acceptance, services: TheServices, client: TheClient) -> Tokens:
    """Join the organization that a link invites to.

    With the password that one uses elsewhere with this address, one keeps one sign-in for both.
    """
    await require_allowed(services, client)
    claimed = proofs.read(body.token, now=datetime.now(UTC))
    proofs.require(services.signer, Purpose.INVITATION, body.token, bound_to="")
    async with services.database.reading(client.context(claimed.organization_id, None)) as looking:
        found = as_states(Invitation, await looking.fetch(_FIND, invitation_id=claimed.subject_id))
    if not found:
        raise LinkNotGood
    require_strong(body.password, email=found[0].email)
    password_hash, person_id = await identify(services, found[0].email, body.password)
    user_id = uuid7()
    async with services.database.unit(client.context(claimed.organization_id, user_id)) as unit:
        invitation = await _lock(unit, claimed.subject_id)
        if invitation is None or invitation.accepted_at or invitation.revoked_at or invitation.expires_at <= unit.now:
            raise LinkNotGood
        await require_room(unit, services.billing, Limit.SEATS)
        new = rules.NewUser(
            id=user_id,
            email=invitation.email,
            name=body.name or invitation.name,
            role=invitation.role,
            record_scope=invitation.record_scope,
            person_id=person_id,
        )
        user = await records.make_user(unit, new, by=None, password_hash=password_hash)
        if services.post.is_configured:  # otherwise the link came from somebody's hands, which proves no address
            await people.prove_address(unit, email=invitation.email, person_id=user.person_id)
        if invitation.team_id is not None:
            await _join_team(unit, user, invitation.team_id)
        write(unit, [Change(invitation, replace(invitation, accepted_at=unit.now))], _TABLES)
        return begin(unit, services, user.id, client)


_FIND = compiled(_ROWS.where(InvitationRow.id == bindparam("invitation_id")))


async def _lock(unit: UnitOfWork, invitation_id: UUID) -> Invitation | None:
    found = as_states(Invitation, await unit.fetch(_LOCK, invitation_id=invitation_id))
    return found[0] if found else None


async def _join_team(unit: UnitOfWork, user: rules.User, team_id: UUID) -> None:
    roster = await teams.hold_roster(unit)
    teams.write_changes(unit, add_member(roster, unit.now, team_id=team_id, user_id=user.id))


def _link(services: Services, invitation: Invitation, organization_id: UUID) -> str:
    token = proofs.make(
        services.signer,
        Purpose.INVITATION,
        subject_id=invitation.id,
        organization_id=organization_id,
        bound_to="",
        now=invitation.created_at,
    )
    return links.link_of(services, Purpose.INVITATION, token)


def _text(organization: str, link: str) -> str:
    return f"{organization} invites you to work with them in Sluice. Follow this link within two weeks:\n\n{link}\n"
