"""`/v1/me` and `/v1/users`."""

from uuid import UUID

from fastapi import APIRouter, Request

from api.edge.dependencies import Administrator, CurrentCaller, IfMatch, Session
from api.edge.pages import Page, PageOf, fetch_page
from api.edge.routing import problems, slice_router
from api.edge.services import services_of
from api.identity import people, users
from api.identity.password_policy import WeakPassword, require_strong
from api.identity.schemas import MeRead, UserCreate, UserRead, UserUpdate
from api.kernel.errors import NotFound, PreconditionFailed, PreconditionRequired
from api.kernel.rows import find
from api.models.user import User
from api.organizations.schemas import OrganizationRead
from api.organizations.service import read_organization
from api.teams.repository import team_of
from contracts.access import Role

me_router = slice_router(prefix="/me", tags=["users"])
users_router = slice_router(prefix="/users", tags=["users"])


@me_router.get("")
async def read_me(caller: CurrentCaller, session: Session) -> MeRead:
    """Who is signed in, and to which organization."""
    user = await find(session, User, organization_id=caller.organization_id, id=caller.user_id, noun="user")
    organization = await read_organization(session, caller.context)
    team_id = await team_of(session, organization_id=caller.organization_id, user_id=caller.user_id)
    return MeRead(
        **UserRead.model_validate(user).model_dump(),
        organization=OrganizationRead.model_validate(organization),
        team_id=team_id,
    )


@users_router.get("")
async def list_users(
    caller: CurrentCaller, page: Page, session: Session, is_active: bool | None = None, role: Role | None = None
) -> PageOf[UserRead]:
    """Users of the organization, oldest first."""
    query = users.users_query(organization_id=caller.organization_id, is_active=is_active, role=role)
    found, next_cursor = await fetch_page(session, query, page=page, id_column=User.id)
    return PageOf(items=[UserRead.model_validate(user) for user in found], next_cursor=next_cursor)


@users_router.post("", status_code=201, responses=problems(users.OwnersAreForOwners, users.EmailTaken, WeakPassword))
async def create_user(body: UserCreate, request: Request, caller: Administrator, session: Session) -> UserRead:
    """Make a user."""
    users.require_may_grant(body.role, caller_role=caller.role)
    person_id, password_hash = None, None
    if body.password is not None:
        require_strong(body.password, email=body.email)
        credentials = await people.credentials_of(session, email=body.email)
        passwords = services_of(request).passwords
        person_id, password_hash = await people.identify(passwords, credentials, password=body.password)
    new = users.NewUser(
        email=body.email, name=body.name, role=body.role, record_scope=body.record_scope, person_id=person_id
    )
    user = await users.create_user(session, caller.context, new, password_hash=password_hash)
    return UserRead.model_validate(user)


@users_router.get("/{user_id}", responses=problems(NotFound))
async def read_user(user_id: UUID, caller: CurrentCaller, session: Session) -> UserRead:
    """One user."""
    user = await find(session, User, organization_id=caller.organization_id, id=user_id, noun="user")
    return UserRead.model_validate(user)


@users_router.patch(
    "/{user_id}",
    responses=problems(
        users.OwnersAreForOwners,
        NotFound,
        users.LastOwner,
        users.PasswordNotYours,
        PreconditionFailed,
        WeakPassword,
        PreconditionRequired,
    ),
)
async def update_user(
    user_id: UUID, body: UserUpdate, request: Request, caller: Administrator, if_match: IfMatch, session: Session
) -> UserRead:
    """Change a user's name, role, record scope or password, or disable them: then all their sign-ins end."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    password, password_hash = changes.pop("password", None), None
    if password is not None:
        user = await find(session, User, organization_id=caller.organization_id, id=user_id, noun="user")
        require_strong(password, email=user.email)
        password_hash = await services_of(request).passwords.hash(password)
    updated = await users.update_user(
        session,
        caller.context,
        user_id=user_id,
        changes=changes,
        expected_version=if_match,
        caller_role=caller.role,
        password_hash=password_hash,
    )
    return UserRead.model_validate(updated)


router = APIRouter()
router.include_router(me_router)
router.include_router(users_router)
