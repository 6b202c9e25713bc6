"""For whom a question is answered."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Viewer:
    """One organization, and the owners whose deals count (None: everybody's)."""

    organization_id: UUID
    owner_ids: frozenset[UUID] | None = None
