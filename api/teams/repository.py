"""Statements of teams."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Select, exists, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.models.team import Team, TeamMember
from contracts import locks

_HOLD_TREE = text(f"select pg_advisory_xact_lock(hashtextextended('{locks.TEAMS}' || :organization_id, 0))")

_IS_BELOW = text("""
with recursive above as (
    select id, parent_team_id from teams where organization_id = :organization_id and id = :team_id
    union
    select t.id, t.parent_team_id from teams as t join above as a on t.id = a.parent_team_id
    where t.organization_id = :organization_id
)
select exists (select from above where id = :ancestor_id)
""")


async def hold_tree(session: AsyncSession, *, organization_id: UUID) -> None:
    """Let nobody else rearrange the organization's teams until the transaction ends."""
    await session.execute(_HOLD_TREE, {"organization_id": str(organization_id)})


async def is_below(session: AsyncSession, *, organization_id: UUID, team_id: UUID, ancestor_id: UUID) -> bool:
    """Whether a team is `ancestor_id` or somewhere below it."""
    values = {"organization_id": organization_id, "team_id": team_id, "ancestor_id": ancestor_id}
    return bool((await session.execute(_IS_BELOW, values)).scalar_one())


async def has_active_children(session: AsyncSession, *, team: Team) -> bool:
    """Whether a team that is open lies directly below."""
    query = select(
        exists().where(Team.organization_id == team.organization_id, Team.parent_team_id == team.id, Team.is_active)
    )
    return bool((await session.execute(query)).scalar_one())


async def lock_teams(session: AsyncSession, *, organization_id: UUID, ids: Iterable[UUID]) -> dict[UUID, Team]:
    """These teams, locked in the order of their ids, so that two such calls cannot wait for each other."""
    query = (
        select(Team)
        .where(Team.organization_id == organization_id, Team.id.in_(set(ids)))
        .order_by(Team.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {team.id: team for team in (await session.execute(query)).scalars()}


async def current_membership(session: AsyncSession, *, organization_id: UUID, user_id: UUID) -> TeamMember | None:
    """The membership that a user has now."""
    query = (
        select(TeamMember)
        .where(
            TeamMember.organization_id == organization_id,
            TeamMember.user_id == user_id,
            TeamMember.ended_at.is_(None),
        )
        .with_for_update()
    )
    return (await session.execute(query)).scalar_one_or_none()


async def current_memberships(session: AsyncSession, *, team: Team) -> list[TeamMember]:
    """Who is in the team now."""
    query = members_query(organization_id=team.organization_id, team_id=team.id, with_past=False)
    return list((await session.execute(query.with_for_update())).scalars())


def members_query(*, organization_id: UUID, team_id: UUID, with_past: bool) -> Select[TeamMember]:
    """Memberships of a team."""
    query = select(TeamMember).where(TeamMember.organization_id == organization_id, TeamMember.team_id == team_id)
    return query if with_past else query.where(TeamMember.ended_at.is_(None))


def teams_query(*, organization_id: UUID, is_active: bool | None) -> Select[Team]:
    """Teams of an organization."""
    query = select(Team).where(Team.organization_id == organization_id)
    return query if is_active is None else query.where(Team.is_active.is_(is_active))


async def team_of(session: AsyncSession, *, organization_id: UUID, user_id: UUID) -> UUID | None:
    """The team that a user is in now."""
    query = select(TeamMember.team_id).where(
        TeamMember.organization_id == organization_id,
        TeamMember.user_id == user_id,
        TeamMember.ended_at.is_(None),
    )
    return (await session.execute(query)).scalar_one_or_none()
