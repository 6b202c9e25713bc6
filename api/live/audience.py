"""Who may be told of what, asked of the database before each push: sign-ins, keys, roles and record scopes as they are.

An event is told of to whoever could read its record by the operation that is named here. Of kinds that are not named
nobody is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.edge.permissions import PERMISSIONS
from api.edge.security import AccessClaims
from api.kernel.caller import Caller
from api.kernel.unit_of_work import Bound, Row, UnitOfWork
from api.kernel.visibility import owners_seen_by
from api.live.records import Event
from contracts.access import RecordScope, Role

# as enter_by_session and enter_by_key let in, of many at once
_CALLERS = compiled(
    text("""
select s.id as session_id, u.id as user_id, u.role, u.record_scope, cast(null as text[]) as scopes,
       o.requires_second_factor and not s.has_second_factor as lacks_second_factor, cast(null as bytea) as digest
from sessions s
join users u on u.organization_id = s.organization_id and u.id = s.user_id
join organizations o on o.organization_id = s.organization_id
where s.organization_id = :organization_id and s.id = any(cast(:ids as uuid[]))
  and s.revoked_at is null and s.expires_at > now() and u.is_active
union all
select k.id, u.id, coalesce(k.role, u.role), case when k.role is null then u.record_scope else 'all' end, k.scopes,
       false, k.digest
from api_keys k join users u on u.organization_id = k.organization_id and u.id = k.user_id
where k.organization_id = :organization_id and k.id = any(cast(:ids as uuid[]))
  and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and (u.is_active or k.role is not null)
""")
)

#: The operation that reads a kind of record; for those that somebody owns, the statement that says who.
_OPERATIONS = {
    "deal": "read_deal",
    "contact": "read_contact",
    "company": "read_company",
    "task": "read_task",
    "conversation": "read_conversation",
    "message": "read_message",
    "bd_account": "read_bd_account",
    "pipeline": "read_pipeline",
    "stage": "read_pipeline",
    "custom_field": "read_custom_field",
    "user": "read_user",
    "team": "read_team",
}
_OWNED = {
    "deal": "select id, owner_id, cast(null as uuid) as also_id from deals x",
    "contact": "select id, owner_id, cast(null as uuid) as also_id from contacts x",
    "company": "select id, owner_id, cast(null as uuid) as also_id from companies x",
    "task": "select id, assignee_id as owner_id, created_by as also_id from tasks x",
    "conversation": "select id, assignee_id as owner_id, cast(null as uuid) as also_id from conversations x",
    "message": "select x.id, c.assignee_id as owner_id, cast(null as uuid) as also_id from messages x"
    " join conversations c on c.organization_id = x.organization_id and c.id = x.conversation_id",
}
_OWNERS = {
    kind: compiled(
        text(f"{query} where x.organization_id = :organization_id and x.id = any(cast(:ids as uuid[]))"),
        is_prepared=False,
    )
    for kind, query in _OWNED.items()
}

Owners = Mapping[tuple[str, UUID], frozenset[UUID]]


@dataclass(frozen=True)
class Member:
    """A listener who may still listen, and whose records they see; None: everybody's."""

    caller: Caller
    owners: frozenset[UUID] | None

    def may_hear_of(self, kind: str, owners: Iterable[UUID]) -> bool:
        """Whether they could read a record of this kind, which these people own."""
        permission = PERMISSIONS[_OPERATIONS[kind]]
        if self.caller.role not in permission.roles:
            return False
        if self.caller.scopes is not None and permission.scope not in self.caller.scopes:
            return False
        return not permission.is_narrowed or self.owners is None or not self.owners.isdisjoint(owners)


@dataclass(frozen=True)
class Audience:
    """Listeners by what their token names, and who owns what the events are about."""

    members: Mapping[UUID, Member]
    _owners: Owners = field(default_factory=dict)

    def hears(self, member: Member, event: Event) -> bool:
        """Whether a listener is told of an event."""
        kind = event.aggregate_type
        return kind in _OPERATIONS and member.may_hear_of(kind, self._owners.get((kind, event.aggregate_id), ()))


async def gather(unit: UnitOfWork, claims: Iterable[AccessClaims], events: Sequence[Event], *, owns: bool) -> Audience:
    """Ask who of these may still listen, and who owns what the events are about; `owns`: whose records they see too."""
    wanted = {one.session_id: one for one in claims}
    rows, owners = await _ask(unit, events, _CALLERS.bind(ids=list(wanted)))
    callers = [_caller(wanted[row.session_id], row) for row in rows if _is_let_in(wanted[row.session_id], row)]
    seen = await owners_seen_by(unit, callers) if owns or events else [frozenset[UUID]()] * len(callers)
    return Audience(
        {one.session_id: Member(one, theirs) for one, theirs in zip(callers, seen, strict=True)},
        owners,
    )


async def heard_by(unit: UnitOfWork, caller: Caller, events: Sequence[Event]) -> list[Event]:
    """What of the events a caller may hear of, who was let in by this very unit."""
    _, owners = await _ask(unit, events)
    [seen] = await owners_seen_by(unit, [caller])
    audience, member = Audience({}, owners), Member(caller, seen)
    return [event for event in events if audience.hears(member, event)]


async def _ask(unit: UnitOfWork, events: Sequence[Event], *first: Bound) -> tuple[list[Row], Owners]:
    ids: dict[str, set[UUID]] = {}
    for event in events:
        if event.aggregate_type in _OWNERS:
            ids.setdefault(event.aggregate_type, set()).add(event.aggregate_id)
    asked = [*first, *(_OWNERS[kind].bind(ids=list(some)) for kind, some in ids.items())]
    answers = await unit.fetch_all(*asked) if asked else []
    owners = {
        (kind, row.id): frozenset(one for one in (row.owner_id, row.also_id) if one is not None)
        for kind, found in zip(ids, answers[len(first) :], strict=True)
        for row in found
    }
    return (answers[0] if first else []), owners


def _is_let_in(claims: AccessClaims, row: Row) -> bool:
    if row.lacks_second_factor or row.digest != claims.digest:
        return False
    # a service's key is its own user's; a session is its person's
    return bool(row.user_id == claims.user_id)


def _caller(claims: AccessClaims, row: Row) -> Caller:
    return Caller(
        user_id=row.user_id,
        organization_id=claims.organization_id,
        session_id=claims.session_id,
        role=Role(row.role),
        record_scope=RecordScope(row.record_scope),
        correlation_id=claims.session_id,
        key_id=claims.session_id if claims.digest is not None else None,
        scopes=None if row.scopes is None else frozenset(row.scopes),
    )
