"""Who is calling, as the database says at this moment."""

from dataclasses import dataclass
from uuid import UUID

from api.kernel.context import Context
from contracts.access import RecordScope, Role
from contracts.events.envelope import ActorKind


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A signed-in user, their role and whose records they see."""

    user_id: UUID
    organization_id: UUID
    session_id: UUID
    role: Role
    record_scope: RecordScope
    correlation_id: UUID

    @property
    def context(self) -> Context:
        """What the events of this request carry."""
        return Context(
            organization_id=self.organization_id,
            actor=ActorKind.USER,
            actor_id=self.user_id,
            correlation_id=self.correlation_id,
        )
