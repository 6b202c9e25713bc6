"""Rules of organizations. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api.kernel.changes import Change, Versioned, revised
from contracts.events.identity import OrganizationCreated, OrganizationEvent, OrganizationUpdated

_SETTINGS = ("time_zone", "currency", "week_start", "fiscal_year_start_month")


@dataclass(frozen=True, kw_only=True)
class Organization(Versioned):
    """One organization, and how it counts its days and money."""

    name: str
    time_zone: str
    currency: str
    week_start: int
    fiscal_year_start_month: int
    requires_second_factor: bool = False


def create_organization(
    organization_id: UUID, now: datetime, *, name: str, settings: Mapping[str, Any]
) -> Change[Organization]:
    """Make an organization."""
    made = Organization(id=organization_id, version=1, created_at=now, updated_at=now, name=name, **settings)
    return Change(None, made, OrganizationCreated(**settings))


def update_organization(
    organization: Organization, now: datetime, *, changes: Mapping[str, Any]
) -> Change[Organization] | None:
    """Change settings; None where nothing changes. Reports of past days keep the settings of those days."""
    if all(getattr(organization, field) == value for field, value in changes.items()):
        return None
    after = revised(organization, now, **changes)
    return Change(organization, after, OrganizationUpdated(**{name: getattr(after, name) for name in _SETTINGS}))


def announce(organization: Organization, now: datetime, event: OrganizationEvent) -> Change[Organization]:
    """Say something of an organization of which no setting changes."""
    return Change(organization, revised(organization, now), event)
