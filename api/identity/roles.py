"""`/v1/roles`: what each role may do, as the matrix says it."""

from pydantic import BaseModel, Field

from api.edge.dependencies import CurrentCaller
from api.edge.pages import PageOf
from api.edge.permissions import PERMISSIONS, scopes_of
from api.edge.routing import slice_router
from contracts.access import Role

router = slice_router(prefix="/roles", tags=["users"])


class RoleRead(BaseModel):
    """A role, and what people may do who have it."""

    role: Role
    scopes: list[str] = Field(description="What keys of theirs can be made for: `area:read`, `area:write`.")
    operations: list[str] = Field(description="Every operation, by its operation id.")


@router.get("")
async def list_roles(caller: CurrentCaller) -> PageOf[RoleRead]:  # noqa: ARG001 # whoever is signed in
    """List the roles and what each may do. Whose records somebody sees, their record scope says."""
    return PageOf(items=[_read(role) for role in Role], next_cursor=None)


def _read(role: Role) -> RoleRead:
    operations = sorted(one.operation for one in PERMISSIONS.values() if not one.is_open and role in one.roles)
    return RoleRead(role=role, scopes=sorted(scopes_of(role)), operations=operations)
