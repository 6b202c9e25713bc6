"""Who is calling, as the database says at this moment."""

from dataclasses import dataclass
from uuid import UUID

from api.kernel.context import Context
from contracts.access import RecordScope, Role
from contracts.events.envelope import ActorKind


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A signed-in user, or a program that acts for one: its role and whose records it sees."""

    user_id: UUID
    organization_id: UUID
    session_id: UUID
    role: Role
    record_scope: RecordScope
    correlation_id: UUID
    #: Set where a program calls, with a key of this id and what it may do; then there is no session.
    key_id: UUID | None = None
    scopes: frozenset[str] | None = None
    #: Where the request comes from.
    address: str | None = None

    @property
    def context(self) -> Context:
        """What the events of this request carry."""
        return Context(
            organization_id=self.organization_id,
            actor=ActorKind.USER if self.key_id is None else ActorKind.API_KEY,
            actor_id=self.key_id or self.user_id,
            correlation_id=self.correlation_id,
            address=self.address,
        )
