"""Who does something, in which organization, and why: what every event carries besides its facts."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from contracts.events.envelope import ActorKind


@dataclass(frozen=True, kw_only=True)
class Context:
    """The cause of a change. Made at the edge (request, job, rule) and handed down to services."""

    organization_id: UUID
    actor: ActorKind
    correlation_id: UUID
    actor_id: UUID | None = None
    causation_id: UUID | None = None
    depth: int = 0
    #: The network address of whoever asked for it, for the audit log.
    address: str | None = None
    #: Set by imports: all events of one import are learned at one instant. Otherwise the database's clock says.
    recorded_at: datetime | None = None

    def caused_by(self, event_id: UUID) -> "Context":
        """The context of what follows from an event."""
        return replace(self, causation_id=event_id, depth=self.depth + 1)
